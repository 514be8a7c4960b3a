"""Make the virtual environment and install a requirements file into it, once. Runs before anything is installed.

    python shop/install.py requirements.txt

Several at once take turns; one that is killed half-way is done over by the next.
"""

import fcntl
import hashlib
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"


def main(requirements: Path) -> None:
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()
    stamp = VENV / f".installed-{requirements.stem}"
    with (ROOT / ".venv.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stamp.exists() and stamp.read_text() == wanted:
            return
        made = VENV / ".made"
        if not made.exists():
            _make()
            made.touch()
        print(f"Installing the pinned {requirements.name} into {VENV.name} ...", flush=True)
        pip = [str(VENV / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--require-hashes", "--requirement", str(requirements)], check=True)
        stamp.write_text(wanted)


def _make() -> None:
    done = subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], check=False)
    if done.returncode:
        sys.exit("The virtual environment could not be made. On Debian and Ubuntu: apt install python3-venv")


if __name__ == "__main__":
    try:
        main(ROOT / sys.argv[1])
    except subprocess.CalledProcessError as error:
        sys.exit(f"pip failed with exit code {error.returncode}; what it said is above.")
    except KeyboardInterrupt:
        sys.exit(130)
