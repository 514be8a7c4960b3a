"""The processes of `manage.py run`: a server and a worker, which stop together with the command."""

import contextlib
import ctypes
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, OutputWrapper

from shop import serving
from shop.local.steps import step

HOST = "127.0.0.1"
START_SECONDS = 60
MANAGE = serving.ROOT / "manage.py"


Process = subprocess.Popen[bytes]


def serve(port: int, *, banner: str, stdout: OutputWrapper, stderr: OutputWrapper) -> None:
    """Run the production server and a worker until told to stop; print `banner` once the server answers.

    Raises CommandError when the server ends by itself. There must be no other thread: both processes are forks.
    """
    received: list[int] = []
    started: list[Process] = []

    def stop(signum: int, frame: Any) -> None:
        received.append(signum)
        for process in started:
            process.terminate()

    # Before anything starts: what a fork calls in Python swallows a KeyboardInterrupt.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, stop)
    server, worker = _start_server(port), _start_worker()
    started.append(server)
    if received:
        server.terminate()
    with step("Starting the server"):
        in_time = _await_answer(server, port)
    if not in_time:
        server.terminate()
        stderr.write(f"The server does not answer after {START_SECONDS} s; its log is above.")
    elif server.poll() is None:
        stdout.write(banner)
        stdout.flush()
    code = _watch(server, worker, stderr)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)  # workers of a server that was itself killed
    if code not in (0, -signal.SIGTERM):
        raise CommandError(f"The server ended with exit code {code}; its log is above.")


def _await_answer(server: Process, port: int) -> bool:
    """Wait until the server answers or ends; tell whether either came in time."""
    deadline = time.monotonic() + START_SECONDS
    while server.poll() is None and not _answers(port):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def _watch(server: Process, worker: Process, stderr: OutputWrapper) -> int:
    """Wait for the server to end, with a worker beside it all the time; return the server's exit code."""
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = server.wait(timeout=1)
            break
        if worker.poll() is not None:
            stderr.write(f"The worker ended with exit code {worker.returncode}; here is another.")
            worker = _start_worker()
    with step("Stopping the worker"):
        worker.terminate()
        try:
            worker.wait(timeout=10)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()
    return code


@contextlib.contextmanager
def only_one_on(port: int) -> Iterator[None]:
    """Hold the port's name while the body runs. Raises CommandError when the port is taken.

    The server shares its port among its workers (SO_REUSEPORT), and would as gladly share it with another server of the
    same user; so a second `make run` is kept off by a lock that the kernel drops with its process.
    """
    with socket.socket(socket.AF_UNIX) as lock:
        if sys.platform == "linux":
            try:
                lock.bind(f"\0shop-run-{port}")
            except OSError as error:
                raise CommandError(
                    f"Another `make run` is about to serve on the port {port}. {_choose(port)}"
                ) from error
        _refuse_taken(port)
        yield


def _choose(port: int) -> str:
    return f"Choose another: make run PORT={port + 1}"


def _refuse_taken(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what merely lingers after a stop is free
        try:
            probe.bind((HOST, port))
        except OSError as error:
            reason = f"The port {port} of {HOST} cannot be had ({error.strerror})."
            raise CommandError(f"{reason} {_choose(port)}") from error


def _start_server(port: int) -> Process:
    return _start(serving.command(host=HOST, port=port, workers=settings.WEB_WORKERS))


def _start_worker() -> Process:
    return _start([sys.executable, str(MANAGE), "work"])


def _start(command: list[str]) -> Process:
    # In a session of its own, so that Ctrl-C reaches it once: from us, in order, before the database stops.
    return subprocess.Popen(
        command,
        cwd=serving.ROOT,
        start_new_session=True,
        preexec_fn=_end_with_parent,  # noqa: PLW1509  # the pool is closed, so there is one thread
    )


def _answers(port: int) -> bool:
    """Tell whether the application answers."""
    connection = http.client.HTTPConnection(HOST, port, timeout=2)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _end_with_parent() -> None:
    """Have the kernel stop the server when we are killed outright; only Linux knows how."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
