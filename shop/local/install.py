"""Make the virtual environment and install a requirements file into it, once. Runs before anything is installed.

    python -m shop.local.install requirements.txt

Several at once take turns; one that is killed half-way is done over by the next.
"""

import fcntl
import hashlib
import re
import subprocess
import sys
from pathlib import Path
from typing import IO

from shop.local.steps import step

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
FAILURE_LINES = 40  # of pip's output
PINNED = re.compile(r"^[A-Za-z0-9][\w.-]*==", re.MULTILINE)


def main(requirements: Path) -> None:
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()
    stamp = VENV / f".installed-{requirements.stem}"
    with (ROOT / ".venv.lock").open("w") as lock:
        _take_turn(lock)
        if stamp.exists() and stamp.read_text() == wanted:
            return
        made = VENV / ".made"
        if not made.exists():
            _make()
            made.touch()
        _Installation(requirements).run()
        stamp.write_text(wanted)


def _take_turn(lock: IO[str]) -> None:
    with step(f"Waiting for another installation into {VENV.name}"):
        fcntl.flock(lock, fcntl.LOCK_EX)


def _make() -> None:
    with step(f"Making the virtual environment {VENV.name}", done=f"Made the virtual environment {VENV.name}"):
        made = subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], check=False)
        if made.returncode:
            sys.exit("The virtual environment could not be made. On Debian and Ubuntu: apt install python3-venv")


class _Installation:
    """One run of pip, and its progress as pip's output and the installed packages show it."""

    def __init__(self, requirements: Path) -> None:
        self.requirements = requirements
        self.total = len(PINNED.findall(requirements.read_text()))
        self.looked_up = 0
        self.current = ""
        self.unpacking = False

    def run(self) -> None:
        """Install; exit with the end of pip's output when it fails."""
        pip = [str(VENV / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
        command = [*pip, "--progress-bar", "off", "--require-hashes", "--requirement", str(self.requirements)]
        output: list[str] = []
        name = self.requirements.name
        with (
            step(f"Installing {name} into {VENV.name}", done=f"Installed {name}", detail=self.progress),
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process,
        ):
            assert process.stdout
            try:
                for line in process.stdout:
                    output.append(line)
                    self._note(line)
            except BaseException:
                process.terminate()  # an interrupted installation does not go on by itself
                raise
            if code := process.wait():
                sys.exit("".join(output[-FAILURE_LINES:]) + f"pip failed with exit code {code}; its output is above.")

    def progress(self) -> str:
        if self.unpacking:
            return f"{_installed()} of {self.total} packages unpacked"
        return f"{self.looked_up} of {self.total} packages downloaded, now {self.current}" if self.current else ""

    def _note(self, line: str) -> None:
        word, _, rest = line.strip().partition(" ")
        if word == "Ignoring":  # for another system or Python
            self.total -= 1
        elif word == "Collecting" or line.startswith("Requirement already satisfied: "):
            self.looked_up += bool(self.current)
            self.current = rest.removeprefix("already satisfied: ").partition("==")[0]
        elif line.startswith("Installing collected packages"):
            self.unpacking = True


def _installed() -> int:
    """Count the packages in the environment but for pip and setuptools, which were there first."""
    found = {path.name.partition("-")[0] for path in VENV.glob("lib/python*/site-packages/*.dist-info")}
    return len(found - {"pip", "setuptools"})


if __name__ == "__main__":
    try:
        main(ROOT / sys.argv[1])
    except KeyboardInterrupt:
        sys.exit(130)
