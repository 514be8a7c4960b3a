"""A shop is lost and brought back: from a dump, and to a point in time. `make drill-restore`

As docs/operations.md tells an operator to do it, with the same commands.
"""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from benchmarks import ROOT, server_arguments
from shop.local import embedded

ORDERS = 40
SECRET = {"SECRET_KEY": "of-a-drill-that-nobody-else-ever-sees", "HTTPS": "off", "LOG_FORMAT": "line"}


def main() -> int:
    with scene() as folder:
        archive = folder / "archive"
        archive.mkdir(mode=0o777)
        archive.chmod(0o777)
        keep = f"test ! -f {shlex.quote(str(archive))}/%f && cp %p {shlex.quote(str(archive))}/%f"
        archiving = {"archive_mode": "on", "archive_command": keep, "archive_timeout": "60"}
        with embedded.server(place(folder, "shop"), settings=archiving) as url:
            manage(url, "migrate", "-v0")
            manage(url, "load_demo")
            sell(url)
            began = time.monotonic()
            from_dump(url, folder)
            say(f"From a dump: {time.monotonic() - began:.1f} s, with verify_stock")
            to_point_in_time(url, folder, archive)
    return 0


def from_dump(url: str, folder: Path) -> None:
    """Dump the shop, restore it into another server, and verify that."""
    dump = folder / "shop.dump"
    run("pg_dump", "--format=custom", f"--file={dump}", *server_arguments(url), embedded.DATABASE)
    with embedded.server(place(folder, "restored")) as restored:
        where = ["--exit-on-error", "--no-owner", f"--dbname={embedded.DATABASE}"]
        run("pg_restore", *where, *server_arguments(restored), str(dump))
        assert counts(restored) == counts(url), (counts(restored), counts(url))
        verify(restored)


def to_point_in_time(url: str, folder: Path, archive: Path) -> None:
    """Copy the shop while it sells, break it, and bring it back to the moment before that."""
    server = embedded.Cluster(place(folder, "in-time") / "postgres")
    server._call("pg_basebackup", "-D", str(server.data), "--checkpoint=fast", *server_arguments(url))
    sell(url)
    before = counts(url)
    ((moment,),) = ask(url, "SELECT clock_timestamp()")
    ask(url, "DROP SCHEMA public CASCADE")
    ask(url, "SELECT pg_switch_wal()")
    time.sleep(1)  # until it is archived

    began = time.monotonic()
    for left in server.data.glob(".s.PGSQL.*"):
        left.unlink()
    (server.data / "recovery.signal").touch()
    server.settings = {
        "restore_command": f"cp {shlex.quote(str(archive))}/%f %p",
        "recovery_target_time": str(moment),
        "recovery_target_action": "promote",
    }
    server.ensure_running()
    try:
        await_writes(server.url)
        after = counts(server.url)
        assert after == before, (after, before)
        verify(server.url)
        say(f"To {moment:%H:%M:%S.%f}: {time.monotonic() - began:.1f} s, {after[0]} reservations, {after[1]} movements")
    finally:
        server.stop()


def sell(url: str) -> None:
    """Have buyers order; prove_stock buys as many as there are buyers, on the books of this very shop."""
    manage(url, "prove_stock", "--buyers", str(ORDERS), "--stock", str(ORDERS))


def counts(url: str) -> tuple[int, int]:
    """Return how many reservations and movements there are."""
    (found,) = ask(
        url, "SELECT (SELECT count(*) FROM inventory_reservation), (SELECT count(*) FROM inventory_movement)"
    )
    return found


def verify(url: str) -> None:
    """Have `verify_stock` look at all of it. Raises CalledProcessError."""
    manage(url, "verify_stock")


def ask(url: str, statement: str) -> list[tuple]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def await_writes(url: str) -> None:
    """Wait until recovery has come to its end."""
    deadline = time.monotonic() + 60
    while ask(url, "SELECT pg_is_in_recovery()") != [(False,)]:
        if time.monotonic() > deadline:
            raise TimeoutError("it is still in recovery")
        time.sleep(0.1)


def manage(url: str, *arguments: str) -> None:
    environment = {**os.environ, **SECRET, "DATABASE_URL": url, "DATABASE_POOLER": "none"}
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(f"manage.py {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")


def run(program: str, *arguments: str) -> None:
    subprocess.run([embedded.BIN / program, *arguments], check=True)


def place(folder: Path, name: str) -> Path:
    """Return a folder in which PostgreSQL's account may make its own."""
    made = folder / name
    made.mkdir(mode=0o711)
    if os.geteuid() == 0:
        account = embedded.Cluster(made / "postgres").account
        assert account is not None
        os.chown(made, account.uid, account.gid)
    return made


@contextmanager
def scene() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="shop-restore-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
