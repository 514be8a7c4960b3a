"""A copy of the project with its own data folder, and `manage.py run` in it."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

from tests.conftest import wait_until

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 60
RUN = (sys.executable, "manage.py", "run")

# What the tests have set for themselves, and the shop is to find out anew.
OURS = ("DATABASE_URL", "DATABASE_POOLER", "SECRET_KEY", "JWT_SIGNING_KEY", "HTTPS", "LOG_FORMAT")


@contextlib.contextmanager
def new_house() -> Iterator[Path]:
    # Not under pytest's own temporary folder, which is private: as root, PostgreSQL's account must pass through.
    copy = Path(tempfile.mkdtemp(prefix="shop-run-"))
    copy.chmod(0o711)
    for name in ("shop", "users", "products", "inventory", "orders"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "manage.py", copy)
    yield copy
    for process in processes_of(copy):
        process.kill()
    shutil.rmtree(copy)


def processes_of(house: Path) -> list[psutil.Process]:
    """Return everything that runs for this copy: the command, the server and its workers, PostgreSQL."""
    found = []
    for process in psutil.process_iter():
        try:
            alive = process.status() != psutil.STATUS_ZOMBIE
            if alive and (str(house) in " ".join(process.cmdline()) or process.cwd().startswith(str(house))):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


@contextlib.contextmanager
def sigint_as_on_a_terminal() -> Iterator[None]:
    """Have children of the body start with SIGINT's default action, which a background job of a script ignores.

    What has a handler here has the default action in a child.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class Running:
    """One `manage.py run` with its output in a file."""

    def __init__(self, house: Path, port: int, *, command: Sequence[str] = RUN, **environment: str) -> None:
        self.house = house
        self.base = f"http://127.0.0.1:{port}"
        self.log = house / f"run-{port}.log"
        kept = {k: v for k, v in os.environ.items() if k not in OURS}
        kept = {k: v for k, v in kept.items() if k not in ("DATABASE_POOL_SIZE", "DJANGO_SETTINGS_MODULE")}
        with self.log.open("w") as log, sigint_as_on_a_terminal():
            self.process = subprocess.Popen(
                command,
                cwd=house,
                env={**kept, "PORT": str(port), **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def output(self) -> str:
        return self.log.read_text()

    def wait_for_banner(self) -> str:
        wait_until(
            lambda: "Ctrl-C stops everything" in self.output() or self.process.poll() is not None, seconds=SECONDS
        )
        assert self.process.poll() is None, self.output()
        return self.output()

    def stop(self) -> None:
        os.killpg(self.process.pid, signal.SIGINT)  # what Ctrl-C does
        assert self.process.wait(SECONDS) == 0, self.output()


def manage(house: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    kept = {k: v for k, v in os.environ.items() if k not in (*OURS, "PORT")}
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=house,
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
