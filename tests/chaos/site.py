"""The shop under test: PostgreSQL that syncs to disk, the proxy in front of it, two web servers, two workers."""

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil

from benchmarks import free_port, psql
from shop import embedded, serving
from tests.chaos.mutants import MUTANTS, Mutant
from tests.chaos.proxy import FaultProxy

ROOT = Path(__file__).resolve().parents[2]
STAFF = {"email": "staff@example.com", "password": secrets.token_urlsafe(24)}
HOLD_SECONDS = 4  # of a checkout that nobody pays for, so that the workers have something to expire
# Workers x threads, and connections of each worker: the second server has one connection for four threads.
SHAPES = [(2, 2, 2), (1, 4, 1)]
READY_SECONDS = 60

Process = subprocess.Popen[bytes]


class Site:
    """Starts everything, keeps it up, and knows which process is what."""

    def __init__(self, folder: Path, *, mutant: str = "") -> None:
        self.folder = folder
        self.points = folder / "points"
        self.points.mkdir()
        bug = MUTANTS[mutant] if mutant else Mutant("none")
        self.cluster = embedded.Cluster(folder / "postgres", settings=bug.settings)
        self.cluster.ensure_running()
        self.proxy = FaultProxy(self.cluster.sockets)
        self.direct = {
            **os.environ,
            "DATABASE_URL": self.cluster.url,
            "SECRET_KEY": secrets.token_urlsafe(48),
            "DJANGO_SETTINGS_MODULE": "shop.settings",
            "HTTPS": "off",
            "RESERVATION_TTL_SECONDS": str(HOLD_SECONDS),
            "THROTTLE_ANON": "off",
            "THROTTLE_USER": "off",
            "THROTTLE_LOGIN": "off",
            "LOG_FORMAT": "line",
            "CHAOS_POINTS": str(self.points),
            "CHAOS_MUTANT": mutant,
        }
        proxied = f"postgres://{embedded.SUPERUSER}@127.0.0.1:{self.proxy.port}/{embedded.DATABASE}"
        self.faulty = {**self.direct, "DATABASE_URL": f"{proxied}?sslmode=disable&gssencmode=disable"}
        self.manage("migrate", "-v0")
        self.manage("createsuperuser", "--noinput", "--email", STAFF["email"])
        psql(self.cluster.url, *bug.statements)
        self.ports = [free_port() for _ in SHAPES]
        self.servers: list[Process] = []
        self.sweepers: list[Process] = []

    @property
    def bases(self) -> list[str]:
        return [f"http://127.0.0.1:{port}" for port in self.ports]

    def manage(self, *arguments: str) -> None:
        """Run a command on the database itself. Raises CalledProcessError."""
        environment = {**self.direct, "DJANGO_SUPERUSER_PASSWORD": STAFF["password"]}
        command = [sys.executable, "manage.py", *arguments]
        subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, check=True)

    def broken_books(self) -> list[str]:
        """Return what `verify_stock` says beside that all is well."""
        command = [sys.executable, "manage.py", "verify_stock"]
        done = subprocess.run(command, cwd=ROOT, env=self.direct, capture_output=True, text=True, check=False)
        if not done.returncode:
            return []
        found: list[str] = []
        for line in f"{done.stdout}{done.stderr}".splitlines():
            if line.startswith(" ") and found:  # the rows of a finding
                found[-1] += line
            elif not line.endswith((": ok", "found something.")):
                found.append(line)
        return found

    def start(self) -> None:
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

    def backends(self) -> list[psutil.Process]:
        """Return the processes of PostgreSQL that serve the shop's connections."""
        with suppress(psutil.NoSuchProcess, FileNotFoundError, ValueError):
            return [child for child in self._postmaster().children() if _is_backend(child)]
        return []

    def kill_database(self) -> None:
        """Kill -9 every process of PostgreSQL at once."""
        postmaster = self._postmaster()
        # Frozen first, so that none of them has time to notice that another is gone and tidy up.
        everyone = [postmaster, *postmaster.children(recursive=True)]
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for process in everyone:
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(number)

    def fill_disk(self, *, is_full: bool) -> None:
        """Let nothing of PostgreSQL write beyond the first page of any file, or everything again.

        To PostgreSQL that is a disk without room, its log included; it needs no file system of its own. Raises
        FileNotFoundError where there is no `prlimit`.
        """
        limit = f"--fsize={8192 if is_full else 'unlimited'}:unlimited"
        account = self.cluster.account
        who = {"user": account.uid, "group": account.gid, "extra_groups": []} if account else {}
        for process in self._postmaster().children():
            # It may have ended meanwhile.
            subprocess.run(
                ["prlimit", limit, "--pid", str(process.pid)], cwd="/", capture_output=True, check=False, **who
            )

    def restart_database(self) -> None:
        """Start PostgreSQL again, which recovers from its log."""
        self.cluster.ensure_running()

    def stop(self) -> None:
        """Stop everything, gently where it can be; what hangs is killed."""
        for process in [*self.servers, *self.sweepers]:
            process.terminate()
        for process in [*self.servers, *self.sweepers]:
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=15)
            _kill_group(process.pid)
        self.servers, self.sweepers = [], []

    def _postmaster(self) -> psutil.Process:
        pid = int((self.cluster.data / "postmaster.pid").read_text().splitlines()[0])
        return psutil.Process(pid)

    def _server(self, number: int) -> Process:
        workers, threads, pool = SHAPES[number]
        command = serving.command(
            port=self.ports[number], workers=workers, threads=threads, application="tests.chaos.application:application"
        )
        return self._spawn(command, f"web-{number}.log", DATABASE_POOL_SIZE=str(pool))

    def _sweeper(self) -> Process:
        return self._spawn([sys.executable, "-m", "tests.chaos.sweeper"], "sweepers.log", DATABASE_POOL_SIZE="1")

    def _spawn(self, command: list[str], log: str, **environment: str) -> Process:
        with (self.folder / log).open("ab") as output:
            return subprocess.Popen(
                command, cwd=ROOT, env={**self.faulty, **environment}, start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip


def _is_backend(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return f" {embedded.DATABASE} [local]" in " ".join(process.cmdline())
    return False


def _is_ready(base: str) -> bool:
    try:
        return httpx.get(f"{base}/readyz", timeout=2).status_code == 200
    except httpx.TransportError:
        return False


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


@contextmanager
def site(folder: Path, *, mutant: str = "") -> Iterator[Site]:
    """Yield a shop that is up; stop everything in the end."""
    folder.chmod(0o711)  # where root runs this, PostgreSQL's account passes through
    settings = MUTANTS[mutant].settings if mutant else {}
    with embedded.server(folder, settings=settings):  # stops the database whatever happens
        found = Site(folder, mutant=mutant)
        try:
            found.start()
            yield found
        finally:
            found.stop()
            found.proxy.close()
