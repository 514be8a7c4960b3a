"""`make install`, and the progress that it and `make run` show."""

import base64
import hashlib
import io
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from shop.local import install, steps

ROOT = Path(__file__).resolve().parents[2]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def checkout(tmp_path) -> Path:
    """What the installer needs of a clone, and one package in a wheel beside it."""
    shutil.copytree(ROOT / "shop" / "local", tmp_path / "shop" / "local", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "shop" / "__init__.py").touch()
    wheel = tmp_path / "jug-1.0-py3-none-any.whl"
    files = {
        "jug.py": "",
        "jug-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: jug\nVersion: 1.0\n",
        "jug-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    hashes = {name: base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()) for name, text in files.items()}
    record = [f"{name},sha256={digest.decode().rstrip('=')},{len(files[name])}" for name, digest in hashes.items()]
    files["jug-1.0.dist-info/RECORD"] = "\n".join([*record, "jug-1.0.dist-info/RECORD,,"]) + "\n"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    pinned = f"--no-index\n--find-links {tmp_path}\njug==1.0 \\\n    --hash=sha256:{digest}\n"
    (tmp_path / "requirements.txt").write_text(pinned)
    return tmp_path


def run_install(checkout: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "shop.local.install", "requirements.txt"]
    return subprocess.run(command, cwd=checkout, capture_output=True, text=True)


def test_an_installation_says_what_it_did_and_a_second_says_nothing(checkout):
    first = run_install(checkout)
    assert first.returncode == 0, first.stderr
    assert "Made the virtual environment .venv in " in first.stderr
    assert "Installed requirements.txt in " in first.stderr
    assert subprocess.run([checkout / ".venv" / "bin" / "python", "-c", "import jug"]).returncode == 0

    second = run_install(checkout)
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")


def test_an_installation_that_fails_shows_what_pip_said_and_is_done_over(checkout):
    requirements = checkout / "requirements.txt"
    good = requirements.read_text()
    requirements.write_text(good.replace("jug==1.0", "jug==2.0"))
    failed = run_install(checkout)
    assert failed.returncode == 1
    assert "No matching distribution found for jug==2.0" in failed.stderr
    assert failed.stderr.endswith("pip failed with exit code 1; its output is above.\n")
    assert "Installed" not in failed.stderr

    requirements.write_text(good)
    assert "Installed requirements.txt in " in run_install(checkout).stderr


def test_the_progress_follows_pip(tmp_path):
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("jug==1.0 \\\n    --hash=sha256:0\ncolorama==1.0 ; win\nmug==2.0\ntray==3.0\n")
    installation = install._Installation(requirements)
    assert installation.progress() == ""

    installation._note("Ignoring colorama: markers 'win' don't match your environment\n")
    installation._note("Collecting jug==1.0 (from -r requirements.txt (line 1))\n")
    installation._note("  Downloading jug-1.0-py3-none-any.whl (8.3 MB)\n")
    assert installation.progress() == "0 of 3 packages downloaded, now jug"
    installation._note("Requirement already satisfied: mug==2.0 in ./lib (from -r requirements.txt (line 3)) (2.0)\n")
    assert installation.progress() == "1 of 3 packages downloaded, now mug"
    installation._note("Installing collected packages: jug, tray\n")
    assert installation.progress().endswith(" of 3 packages unpacked")


def test_a_step_shows_plain_lines_while_it_lasts(monkeypatch):
    monkeypatch.setattr(sys, "stderr", shown := io.StringIO())
    monkeypatch.setattr(steps, "FIRST_LINE_SECONDS", 0.05)
    monkeypatch.setattr(steps, "LINE_SECONDS", 60)
    with steps.step("Filling the jug", done="Filled the jug", detail=lambda: "half full"):
        time.sleep(0.3)

    assert shown.getvalue() == "Filling the jug, half full, 0 s\nFilled the jug in 0 s.\n"


def test_a_quick_step_and_one_that_fails_leave_nothing(monkeypatch):
    monkeypatch.setattr(sys, "stderr", shown := io.StringIO())
    with steps.step("Filling the jug"):
        pass
    with pytest.raises(ValueError, match="broken"), steps.step("Filling the jug", done="Filled the jug"):
        raise ValueError("broken")

    assert shown.getvalue() == ""


def test_on_a_terminal_one_line_is_updated_and_erased(monkeypatch):
    monkeypatch.setattr(sys, "stderr", shown := Terminal())
    monkeypatch.setattr(steps, "REDRAW_SECONDS", 0.05)
    monkeypatch.setenv("COLUMNS", "20")
    with steps.step("Filling the largest jug of all"):
        time.sleep(0.3)

    first, *others = shown.getvalue().split(steps.ERASE)
    assert first == ""
    assert len(others) > 2
    assert others[0] == "Filling the largest\r"
    assert others[-1] == ""
