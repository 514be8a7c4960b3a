"""Measurements, each on a throw-away PostgreSQL of its own that syncs to disk as production does. Ratios, not times.

Here is what starts such a database and the production server; tests start theirs by the same functions.
"""

import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from io import StringIO
from pathlib import Path
from urllib.parse import unquote

import httpx
import psutil

from shop import serving
from shop.local import embedded

ROOT = serving.ROOT


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def migrated_server(**settings: str) -> Iterator[str]:
    """Yield the URL of a fresh, migrated database, and have Django use it."""
    folder = Path(tempfile.mkdtemp(prefix="shop-bench-"))
    folder.chmod(0o711)
    try:
        with embedded.server(folder, settings=settings) as url:
            os.environ.update(
                DATABASE_URL=url,
                SECRET_KEY="of-a-measurement-that-nobody-else-sees",
                HTTPS="off",
                DJANGO_SETTINGS_MODULE="shop.settings",
            )
            subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], cwd=ROOT, check=True)
            yield url
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def running(
    command: Sequence[str], *, log: Path | None = None, **environment: str
) -> Iterator["subprocess.Popen[bytes]"]:
    """Have a process of ours run while the body runs; what it logs goes to the end of `log`, or to the terminal."""
    with log.open("ab") if log else nullcontext() as file:
        process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environment}, stderr=file)
    try:
        yield process
    finally:
        family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:  # it is stuck; its workers would go on without it
            for one in (psutil.Process(process.pid), *family):
                with suppress(psutil.NoSuchProcess):
                    one.kill()
            process.wait()
            raise


@contextmanager
def production_server(
    *,
    workers: int = serving.WORKERS,
    threads: int = serving.THREADS,
    application: str = serving.APPLICATION,
    log: Path | None = None,
    **environment: str,
) -> Iterator[str]:
    """Yield the address of the server that `make run` starts, on the database that the environment names."""
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    command = serving.command(port=port, workers=workers, application=application)
    environment = {"DATABASE_POOL_SIZE": str(threads), **environment}
    with running(command, log=log, **environment) as process:
        await_answer(process, f"{base}/readyz", log)
        yield base


def await_answer(process: "subprocess.Popen[bytes]", url: str, log: Path | None = None) -> None:
    """Wait until a server answers with 200; end the measurement when it does not."""
    deadline = time.monotonic() + 30
    while True:
        try:
            if httpx.get(url).status_code == 200:
                return
        except httpx.TransportError:
            pass
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"{end_of(log)}\nThe server did not come up: {url} does not answer with 200.")
        time.sleep(0.05)


def workers(base: str) -> list[psutil.Process]:
    """Return the processes that serve at this address."""
    port = base.rsplit(":", 1)[1]
    found = [process for process in psutil.Process().children(recursive=True) if port in process.cmdline()]
    assert found, f"nobody serves at {base}"
    return [process for process in found if process.ppid() in {parent.pid for parent in found}]


def end_of(log: Path | None) -> str:
    """Return the last words of a log, which say what went wrong."""
    return log.read_text()[-5_000:] if log else ""


def log_to_nowhere() -> None:
    """Have Django write its log as in production, but not to the terminal of whoever measures in this process."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setStream(StringIO())


def server_arguments(url: str) -> list[str]:
    """Return where the client programs of PostgreSQL find the embedded server."""
    return ["-h", unquote(url.split("@")[1].rsplit("/", 1)[0]), "-U", embedded.SUPERUSER]


def psql(url: str, *statements: str) -> None:
    """Run statements by psql, each in a transaction of its own, and stop at the first that fails."""
    commands = [part for statement in statements for part in ("-c", statement)]
    program = [embedded.BIN / "psql", *server_arguments(url), "-q", "-v", "ON_ERROR_STOP=1"]
    subprocess.run([*program, *commands, url.rsplit("/", 1)[1]], check=True)
