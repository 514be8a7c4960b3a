"""The shop under test: two web servers and two workers, on whatever database a test has."""

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

import httpx
import psutil

from benchmarks import ROOT, free_port, psql
from shop import serving
from tests.chaos.mutants import MUTANTS
from tests.chaos.wire import STAFF

HOLD_SECONDS = 4  # of a checkout that nobody pays for, so that the workers have something to expire
# Workers, and how many requests each does at once, each with a connection of its own.
SHAPES = [(2, 2), (1, 4)]
READY_SECONDS = 60

Process = subprocess.Popen[bytes]


class AnyDatabase(Protocol):
    """What a site must know of its database: one server, or several that take each other's place."""

    @property
    def url(self) -> str:
        """Where commands and the verifier find it."""

    def keep_up(self) -> None:
        """Start what has ended and nobody else starts again."""

    def log(self) -> str:
        """Return what it has logged."""


class Site:
    """Starts everything, keeps it up, and knows which process is what."""

    def __init__(
        self, folder: Path, database: AnyDatabase, *, url: str = "", mutant: str = "", **environment: str
    ) -> None:
        """Servers and workers find the database at `url`, and what else is for them in the environment."""
        self.folder, self.database = folder, database
        self.points = folder / "points"
        self.bug = MUTANTS[mutant] if mutant else None
        self.direct = {
            **os.environ,
            "DATABASE_URL": database.url,
            "SECRET_KEY": secrets.token_urlsafe(48),
            "DJANGO_SETTINGS_MODULE": "shop.settings",
            "HTTPS": "off",
            "RESERVATION_TTL_SECONDS": str(HOLD_SECONDS),
            "CUSTOMERS_MAY_CONFIRM": "on",  # they buy on account, as much as they like
            "MAX_HELD_UNITS_PER_USER": "1000000",
            "THROTTLE_LOGIN": "off",
            "THROTTLE_REGISTER": "off",
            "LOG_FORMAT": "line",
            "CHAOS_POINTS": str(self.points),
            "CHAOS_MUTANT": mutant,
        }
        self.served = {**self.direct, "DATABASE_URL": url or database.url, **environment}
        self.ports = [free_port() for _ in SHAPES]
        self.servers: list[Process] = []
        self.sweepers: list[Process] = []

    @property
    def bases(self) -> list[str]:
        return [f"http://127.0.0.1:{port}" for port in self.ports]

    def manage(self, *arguments: str) -> None:
        """Run a command on the database itself. Raises CalledProcessError."""
        self._run(*arguments).check_returncode()

    def broken_books(self) -> list[str]:
        """Return what `verify_stock` says beside that all is well."""
        done = self._run("verify_stock")
        if not done.returncode:
            return []
        found: list[str] = []
        for line in done.stdout.splitlines():
            if line.startswith(" ") and found:  # the rows of a finding
                found[-1] += line
            elif not line.endswith((": ok", "found something.")):
                found.append(line)
        return found

    def start(self) -> None:
        """Make the tables and a member of staff, start everything, wait until it is ready."""
        self.points.mkdir()
        self.manage("migrate", "-v0")
        self.manage("createsuperuser", "--noinput", "--email", STAFF["email"])
        if self.bug:
            psql(self.database.url, *self.bug.statements)
        self.servers = [self._server(number) for number in range(len(SHAPES))]
        self.sweepers = [self._sweeper() for _ in range(2)]
        self.await_ready()

    def await_ready(self) -> None:
        """Wait until every server is ready and the database answers. Raises TimeoutError."""
        deadline = time.monotonic() + READY_SECONDS
        for base in self.bases:
            while not _is_ready(base):
                self.keep_up()
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{base} is not ready after {READY_SECONDS} s; its log is in {self.folder}.")
                time.sleep(0.1)

    def keep_up(self) -> None:
        """Start what has ended again, as whatever runs a shop would."""
        self.database.keep_up()
        for number, server in enumerate(self.servers):
            if server.poll() is not None:
                _kill_group(server.pid)  # workers that outlived it have its port
                self.servers[number] = self._server(number)
        for number, sweeper in enumerate(self.sweepers):
            if sweeper.poll() is not None:
                self.sweepers[number] = self._sweeper()

    def web_workers(self) -> list[psutil.Process]:
        """Return the processes that answer requests."""
        found: list[psutil.Process] = []
        for server, port in zip(self.servers, self.ports, strict=True):
            with suppress(psutil.NoSuchProcess):
                # Python has helpers of its own among the children, which know no port.
                found += [child for child in psutil.Process(server.pid).children() if str(port) in child.cmdline()]
        return found

    def stop(self) -> None:
        """Stop the servers and the workers, gently where it can be; what hangs is killed."""
        for process in self.web_workers():  # a run that was interrupted may have left one frozen
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)
        ours = [*self.servers, *self.sweepers]
        for process in ours:
            process.terminate()
        for process in ours:
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=15)
            _kill_group(process.pid)

    def _run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        environment = {**self.direct, "DJANGO_SUPERUSER_PASSWORD": STAFF["password"]}
        command = [sys.executable, "manage.py", *arguments]
        return subprocess.run(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )

    def _server(self, number: int) -> Process:
        workers, pool = SHAPES[number]
        command = serving.command(
            port=self.ports[number], workers=workers, application="tests.chaos.application:application"
        )
        return self._spawn(command, f"web-{number}.log", DATABASE_POOL_SIZE=str(pool))

    def _sweeper(self) -> Process:
        return self._spawn([sys.executable, "-m", "tests.chaos.sweeper"], "sweepers.log", DATABASE_POOL_SIZE="1")

    def _spawn(self, command: list[str], log: str, **environment: str) -> Process:
        with (self.folder / log).open("ab") as output:
            return subprocess.Popen(
                command, cwd=ROOT, env={**self.served, **environment}, start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip


def _is_ready(base: str) -> bool:
    try:
        return httpx.get(f"{base}/readyz", timeout=2).status_code == 200
    except httpx.TransportError:
        return False


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


@contextmanager
def running(site: Site) -> Iterator[None]:
    """Have a shop up while the body runs; stop everything of it in the end."""
    try:
        site.start()
        yield
    finally:
        site.stop()
