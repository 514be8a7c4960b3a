"""Clients that take their time, and how long others wait meanwhile."""

import contextlib
import math
import resource
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

PAUSE_SECONDS = 1.0  # between two pieces of what they send
PATIENCE_SECONDS = 10.0  # of whoever waits meanwhile

POST = b"POST /api/v1/auth/token HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
LARGE_FILE = "/static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js"


@dataclass(frozen=True)
class Kind:
    """What a client sends at once, and what again and again."""

    name: str
    first: bytes
    then: bytes = b""


KINDS = {
    kind.name: kind
    for kind in (
        Kind("body", POST + b"Content-Length: 100000\r\n\r\n{", b" "),
        Kind("chunked body", POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n", b"1\r\n \r\n"),
        Kind("header", b"POST /api/v1/auth/token HTTP/1.1\r\nHost: local", b"h"),
        # Asked for again and again: once would fit into the buffers of the two systems.
        Kind("reader", f"GET {LARGE_FILE} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() * 20),
        Kind("idle", b""),
    )
}


class SlowClients:
    """So many clients of one kind, each from an address of its own on Linux, where all of 127/8 is this machine."""

    def __init__(self, base: str, kind: Kind, count: int) -> None:
        self.kind, self._address = kind, urlsplit(base)
        self._ended = threading.Event()
        self._sockets = [self._connect(number) for number in range(count)]
        self._sender = threading.Thread(target=self._trickle)
        self._sender.start()

    def close(self) -> None:
        self._ended.set()
        self._sender.join()
        for one in self._sockets:
            one.close()

    def _connect(self, number: int) -> socket.socket:
        source = (f"127.0.{1 + number // 200}.{1 + number % 200}", 0)
        one = socket.socket()
        if self.kind.name == "reader":
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.bind(source)
        one.settimeout(PATIENCE_SECONDS)
        one.connect((self._address.hostname, self._address.port))
        if self._address.scheme == "https" and self.kind.first:
            one = unverified().wrap_socket(one, server_hostname="localhost")
        if self.kind.first:
            one.sendall(self.kind.first)
        return one

    def _trickle(self) -> None:
        while self.kind.then and not self._ended.wait(PAUSE_SECONDS):
            for one in self._sockets:
                with contextlib.suppress(OSError):  # the server has ended it
                    one.sendall(self.kind.then)


@contextlib.contextmanager
def slow_clients(base: str, kind: str, count: int) -> Iterator[None]:
    """Have slow clients at that address while the body runs."""
    allow_sockets()
    clients = SlowClients(base, KINDS[kind], count)
    try:
        yield
    finally:
        clients.close()


def slowest(ask: Callable[[], httpx.Response], *, seconds: float) -> float:
    """Return how long the slowest answer took, asking again and again for that time; infinity when one was none."""
    worst, until = 0.0, time.monotonic() + seconds
    while time.monotonic() < until:
        began = time.monotonic()
        try:
            ask().raise_for_status()
        except httpx.HTTPError:
            return math.inf
        worst = max(worst, time.monotonic() - began)
    return worst


def unverified() -> ssl.SSLContext:
    """Return what trusts a certificate that nobody signed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def allow_sockets() -> None:
    """Take all file descriptors that the system grants: 1,100 sockets are more than the usual limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
