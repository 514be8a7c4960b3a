"""The production server's command, once for `make run`, `serve`, tests and measurements. Imports no Django."""

import sys
from pathlib import Path

# Requests that are worked on at once, measured by `make bench-server` (docs/performance.md): best where many ask at
# once. More wait for each other's Python; with one, a single slow request would stop a whole worker.
WORKERS, THREADS = 2, 2
# A worker's threads for reading bodies and sending files. A slow client holds one of them and no more
# (shop.toolkit.http.concurrency), so there are as many as slow clients may be let to hold.
CLIENT_THREADS = 256
# Connections of a worker; an idle one costs a file descriptor. Past that they wait in the kernel's queue.
CONNECTIONS = 8192
HEADER_SECONDS = 10  # for a request's header to come, and for the next request on a connection
APPLICATION = "shop.wsgi:application"
ROOT = Path(__file__).resolve().parent.parent  # where the command finds its modules


def command(
    *,
    port: int,
    host: str = "127.0.0.1",
    workers: int = WORKERS,
    application: str = APPLICATION,
) -> list[str]:
    """Return the command that serves the shop; how many requests each worker does at once, the settings say."""
    return [
        sys.executable, "-m", "shop.server", "--interface", "wsgi", "--host", host, "--port", str(port),
        # HTTP/2 is for the proxy before us, and there are no web sockets.
        "--http", "1", "--no-ws",
        "--workers", str(workers), "--blocking-threads", str(CLIENT_THREADS),
        "--backlog", str(CONNECTIONS), "--backpressure", str(CONNECTIONS),
        "--http1-header-read-timeout", str(HEADER_SECONDS * 1000),
        # On SIGHUP each worker is exchanged; the old one serves while a busy machine starts the new one.
        "--respawn-interval", "8",
        "--respawn-failed-workers", "--workers-kill-timeout", "10", "--log-level", "warning",
        application,
    ]  # fmt: skip
