import contextlib
import ctypes
import http.client
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.db.backends.postgresql.base import DatabaseWrapper

from products import services as products
from shop import embedded, serving
from shop.toolkit import transactions
from shop.toolkit.pages import PageRequest
from users import services as users

HOST = "127.0.0.1"
DEFAULT_EMAIL = "admin@example.com"
START_SECONDS = 60
MANAGE = serving.ROOT / "manage.py"


Process = subprocess.Popen[bytes]


class Command(BaseCommand):
    """Start the whole shop: migrate, make a staff user, load a demo catalogue, serve on 127.0.0.1:$PORT, and work off
    what nobody waits for.

    Safe to repeat: what is there already stays. Ctrl-C or SIGTERM stops all of it.
    """

    help = __doc__

    def handle(self, *args: Any, **options: Any) -> None:
        port = settings.PORT
        with contextlib.ExitStack() as stack:
            if embedded.holds(settings.DATABASES["default"]["HOST"]):
                try:
                    stack.enter_context(embedded.only_runner(embedded.DATA_FOLDER))
                except embedded.EmbeddedError as problem:
                    raise CommandError(str(problem)) from problem
            stack.enter_context(_only_one_on(port))
            call_command("migrate", verbosity=0)
            self._ensure_staff_user()
            call_command("load_demo", stdout=self.stdout)
            banner = _banner(port)
            _close_pool()
            self._serve(port, banner)
        self.stdout.write("Stopped.")

    def _serve(self, port: int, banner: str) -> None:
        """Run the production server until it is told to stop; print `banner` once it answers."""
        server, worker = _start_server(port), _start_worker()

        def stop(signum: int, frame: Any) -> None:
            server.terminate()

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, stop)
        deadline = time.monotonic() + START_SECONDS
        while server.poll() is None and not _answers(port):
            if time.monotonic() > deadline:
                server.terminate()
                self.stderr.write(f"The server does not answer after {START_SECONDS} s; its log is above.")
                break
            time.sleep(0.1)
        else:
            self._print_at_once(banner if server.poll() is None else "")
        code = self._watch(server, worker)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)  # workers of a server that was itself killed
        if code not in (0, -signal.SIGTERM):
            raise CommandError(f"The server ended with exit code {code}; its log is above.")

    def _watch(self, server: Process, worker: Process) -> int:
        """Wait for the server to end, with a worker beside it all the time; return the server's exit code."""
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = server.wait(timeout=1)
                break
            if worker.poll() is not None:
                self.stderr.write(f"The worker ended with exit code {worker.returncode}; here is another.")
                worker = _start_worker()
        worker.terminate()
        try:
            worker.wait(timeout=10)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()
        return code

    def _ensure_staff_user(self) -> None:
        """Create the staff user where there is none, and print the password at once if it had to be made up."""
        given = os.environ.get("DJANGO_SUPERUSER_PASSWORD")
        if not given and users.has_superuser():
            return
        password = given or secrets.token_urlsafe(12)
        try:
            created = transactions.run(lambda: users.ensure_superuser(email=_email(), password=password))
        except users.InvalidEmail as refusal:
            raise CommandError(f"DJANGO_SUPERUSER_EMAIL is {_email()!r}. {refusal}") from refusal
        if created and not given:
            self._print_at_once(f"Staff user: {_email()} with the password {password} (shown this once)")
        if not created and not users.has_superuser():
            self.stderr.write(f"{_email()} is somebody's account already; name a staff user by DJANGO_SUPERUSER_EMAIL.")

    def _print_at_once(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()


def _banner(port: int) -> str:
    base = f"http://{HOST}:{port}"
    first = products.list_products(page=PageRequest(size=1), with_archived=False).results
    product_id = first[0].id if first else 1
    body = json.dumps({"items": [{"product_id": product_id, "quantity": 1000}]})
    lines = [
        "",
        f"The shop is on   {base}/api/v1",
        f"Docs             {base}/api/docs",
        f"Admin            {base}/admin/",
        "",
        f"  curl '{base}/api/v1/products?page_size=3'",
        f"  curl '{base}/api/v1/inventory/check?product_id={product_id}&quantity=2'",
        f"  curl -H 'Content-Type: application/json' -d '{body}' {base}/api/v1/inventory/check",
        "",
        "Ctrl-C stops everything.",
    ]
    return "\n".join(lines)


def _close_pool() -> None:
    """Give all connections back and end the pool's threads: what is started next is started from one thread."""
    connection.close()
    if isinstance(connection, DatabaseWrapper):
        connection.close_pool()


@contextlib.contextmanager
def _only_one_on(port: int) -> Iterator[None]:
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


def _email() -> str:
    return os.environ.get("DJANGO_SUPERUSER_EMAIL") or DEFAULT_EMAIL


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
