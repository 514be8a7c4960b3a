"""PostgreSQL as the kill test has it: syncing to disk, with checksums, and with all that can befall it."""

import errno
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import psycopg

from shop.local import embedded

# Its log is on a disk of its own where that can be had, small enough to be filled at once; every segment is made anew,
# so that a full disk is noticed.
WAL_BYTES = 512 << 20
RECOVERY_SECONDS = 15  # it takes less than one
WAL_SETTINGS = {"wal_recycle": "off", "min_wal_size": "32MB", "max_wal_size": "192MB"}


class Database:
    """One server process with its data."""

    def __init__(self, folder: Path) -> None:
        self._cluster = embedded.Cluster(folder / "postgres", settings=WAL_SETTINGS)
        self._disk = folder / "wal"
        self._log_seen = 0
        self.can_be_filled = False

    @property
    def url(self) -> str:
        return self._cluster.url

    @property
    def sockets(self) -> Path:
        return self._cluster.sockets

    def start(self) -> None:
        self._cluster.ensure_running()
        self.can_be_filled = self._give_log_a_disk()
        with psycopg.connect(self.url) as connection:
            if connection.execute("SHOW data_checksums").fetchone() != ("on",):
                raise RuntimeError("PostgreSQL has no checksums: what a crash leaves in its pages would not be seen")

    def stop(self) -> None:
        """Stop it, also one that is frozen, or gone."""
        send(signal.SIGCONT, self.processes())
        with suppress(embedded.EmbeddedError):
            self._cluster.stop()
        if self.can_be_filled:
            subprocess.run(["umount", "--lazy", str(self._disk)], check=False)

    def processes(self) -> list[psutil.Process]:
        """Return all of its processes, the first one first; none when it is down."""
        with suppress(psutil.NoSuchProcess, FileNotFoundError, ValueError, IndexError):
            pid = int((self._cluster.data / "postmaster.pid").read_text().splitlines()[0])
            postmaster = psutil.Process(pid)
            return [postmaster, *postmaster.children(recursive=True)]
        return []

    def backends(self) -> list[psutil.Process]:
        """Return the processes that serve the shop's connections."""
        return [process for process in self.processes() if _is_backend(process)]

    def kill(self) -> None:
        """Kill -9 every process at once."""
        kill_at_once(self.processes())

    def keep_up(self) -> None:
        """Start it again if it has ended: it gives up when it cannot even recover."""
        if not self.processes():
            self.restart()

    def restart(self) -> None:
        """Start it again if it is down; it recovers from its log.

        Also if it hangs: where recovery itself meets the end of the disk, PostgreSQL takes nobody in and tries no more.
        """
        if self.processes() and not self._comes_up():
            self.kill()
        self._cluster.ensure_running()

    def _comes_up(self) -> bool:
        deadline = time.monotonic() + RECOVERY_SECONDS
        while psycopg.pq.PGconn.ping(self.url.encode()) == psycopg.pq.Ping.REJECT:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        return True

    def fill_disk(self) -> None:
        """Leave no room for another segment of the log, and have it ask for one.

        Where it meets that in the middle of a commit, it cannot but end all of itself and recover.
        """
        with (self._disk / "filler").open("wb") as filler:
            while not _takes_all(filler.fileno()):
                pass  # the database was quicker and took some of it
        with suppress(psycopg.Error), psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("SELECT pg_switch_wal()")

    def clear_disk(self) -> bool:
        """Give the room back, start again what has given up, and tell whether the end of the disk was met."""
        (self._disk / "filler").unlink(missing_ok=True)
        time.sleep(0.2)  # to recover, or to give up
        self.restart()
        log = self.log()
        met, self._log_seen = "No space left on device" in log[self._log_seen :], len(log)
        return met

    def log(self) -> str:
        """Return what it has logged."""
        return (self._cluster.data / "server.log").read_text(errors="replace")

    def _give_log_a_disk(self) -> bool:
        """Put the log on a small file system of its own; tell whether the machine allows that."""
        self._disk.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={WAL_BYTES},mode=0711", "tmpfs", str(self._disk)]
        if not shutil.which("mount") or subprocess.run(mount, capture_output=True, check=False).returncode:
            return False
        self._cluster.stop()
        place, moved = self._cluster.data / "pg_wal", self._disk / "pg_wal"
        shutil.move(place, moved)  # keeps no owner across file systems
        place.symlink_to(moved)
        if account := self._cluster.account:
            for path in [moved, *moved.rglob("*")]:
                os.chown(path, account.uid, account.gid)
        self._cluster.ensure_running()
        return True


def _takes_all(file: int) -> bool:
    """Have a file take what is free on its disk, or nothing when that is less by then."""
    disk = os.fstatvfs(file)
    try:
        os.posix_fallocate(file, 0, disk.f_bavail * disk.f_frsize or 1)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        return not disk.f_bavail
    return True


def send(number: signal.Signals, processes: Iterable[psutil.Process]) -> None:
    """Send a signal to whoever is still there."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def kill_at_once(processes: Sequence[psutil.Process]) -> None:
    """Kill -9 all of them, frozen first, so that none has time to notice that another is gone and tidy up."""
    send(signal.SIGSTOP, processes)
    send(signal.SIGKILL, processes)


def _is_backend(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return f" {embedded.DATABASE} [local]" in " ".join(process.cmdline())
    return False


@contextmanager
def database(folder: Path) -> Iterator[Database]:
    """Yield a fresh PostgreSQL that is up; stop it in the end."""
    found = Database(folder)
    try:
        found.start()
        yield found
    finally:
        found.stop()
