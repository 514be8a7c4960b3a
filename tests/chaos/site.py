"""The shop under test: PostgreSQL that syncs to disk, the proxy in front of it, two web servers, two workers."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil
import psycopg

from benchmarks import ROOT, free_port, psql
from shop import embedded, serving
from tests.chaos.mutants import MUTANTS, Mutant
from tests.chaos.proxy import FaultProxy
from tests.chaos.wire import STAFF

HOLD_SECONDS = 4  # of a checkout that nobody pays for, so that the workers have something to expire
# Workers x threads, and connections of each worker: the second server has one connection for four threads.
SHAPES = [(2, 2, 2), (1, 4, 1)]
READY_SECONDS = 60
# Its log is on a disk of its own where that can be had, small enough to be filled at once; every segment is made anew,
# so that a full disk is noticed.
WAL_BYTES = 512 << 20
WAL_SETTINGS = {"wal_recycle": "off", "min_wal_size": "32MB", "max_wal_size": "192MB"}

Process = subprocess.Popen[bytes]


class Site:
    """Starts everything, keeps it up, and knows which process is what."""

    def __init__(self, folder: Path, *, mutant: str = "") -> None:
        self.folder = folder
        self.points = folder / "points"
        self.points.mkdir()
        bug = MUTANTS[mutant] if mutant else Mutant("none")
        self.cluster = embedded.Cluster(folder / "postgres", settings=WAL_SETTINGS)
        self.cluster.ensure_running()
        self.wal = self._give_log_a_disk()
        with psycopg.connect(self.cluster.url) as connection:
            assert connection.execute("SHOW data_checksums").fetchone() == ("on",)
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
        self._log_seen = 0

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

    def _give_log_a_disk(self) -> Path | None:
        """Put PostgreSQL's log on a small file system of its own; None where the machine does not allow that."""
        disk, place = self.folder / "wal", self.cluster.data / "pg_wal"
        disk.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={WAL_BYTES},mode=0711", "tmpfs", str(disk)]
        if not shutil.which("mount") or subprocess.run(mount, capture_output=True, check=False).returncode:
            return None
        self.cluster.stop()
        shutil.move(place, disk / "pg_wal")  # keeps no owner across file systems
        place.symlink_to(disk / "pg_wal")
        if account := self.cluster.account:
            for path in [disk / "pg_wal", *(disk / "pg_wal").rglob("*")]:
                os.chown(path, account.uid, account.gid)
        self.cluster.ensure_running()
        return disk

    def fill_disk(self) -> None:
        """Leave PostgreSQL no room for another segment of its log, and have it ask for one.

        Where it meets that in the middle of a commit, it cannot but end all of itself and recover.
        """
        assert self.wal
        with (self.wal / "filler").open("wb") as filler:
            free = os.statvfs(self.wal)
            os.posix_fallocate(filler.fileno(), 0, free.f_bavail * free.f_frsize)
        with suppress(psycopg.Error), psycopg.connect(self.cluster.url, autocommit=True) as connection:
            connection.execute("SELECT pg_switch_wal()")

    def clear_disk(self) -> bool:
        """Give the room back, start PostgreSQL again if it has given up, and tell whether it had met the end of it."""
        assert self.wal
        (self.wal / "filler").unlink(missing_ok=True)
        time.sleep(0.2)  # to recover, or to give up
        self.restart_database()
        log = self.log_of_database()
        met, self._log_seen = "No space left on device" in log[self._log_seen :], len(log)
        return met

    def log_of_database(self) -> str:
        return (self.cluster.data / "server.log").read_text(errors="replace")

    def restart_database(self) -> None:
        """Start PostgreSQL again, which recovers from its log."""
        self.cluster.ensure_running()

    def stop(self) -> None:
        """Stop everything, gently where it can be; what hangs is killed."""
        for process in self._everyone():  # a run that was interrupted may have left one frozen
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)
        ours = [*self.servers, *self.sweepers]
        for process in ours:
            process.terminate()
        for process in ours:
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=15)
            _kill_group(process.pid)
        self.proxy.close()
        with suppress(embedded.EmbeddedError):
            self.cluster.stop()
        if self.wal:
            subprocess.run(["umount", "--lazy", str(self.wal)], check=False)

    def _everyone(self) -> list[psutil.Process]:
        found = self.web_workers()
        with suppress(psutil.NoSuchProcess, FileNotFoundError, ValueError):
            found += self._postmaster().children()
        return found

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
    found = Site(folder, mutant=mutant)
    try:
        found.start()
        yield found
    finally:
        found.stop()
