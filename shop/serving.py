"""The production server's command, once for `make run`, `serve`, tests and measurements. Imports no Django."""

import sys
from pathlib import Path

# Measured by `make bench-server` (docs/performance.md): best where many ask at once. More threads wait for each other's
# Python; with one, a single slow request would stop a whole worker.
WORKERS, THREADS = 2, 2
APPLICATION = "shop.wsgi:application"
ROOT = Path(__file__).resolve().parent.parent  # where the command finds its modules


def command(
    *,
    port: int,
    host: str = "127.0.0.1",
    workers: int = WORKERS,
    threads: int = THREADS,
    application: str = APPLICATION,
) -> list[str]:
    """Return the command that serves the shop; each worker serves `threads` requests at once."""
    return [
        sys.executable, "-m", "shop.server", "--interface", "wsgi", "--host", host, "--port", str(port),
        # HTTP/2 is for the proxy before us, and there are no web sockets.
        "--http", "1", "--no-ws",
        "--workers", str(workers), "--blocking-threads", str(threads),
        # On SIGHUP each worker is exchanged; the old one serves while a busy machine starts the new one.
        "--respawn-interval", "8",
        "--respawn-failed-workers", "--workers-kill-timeout", "10", "--log-level", "warning",
        application,
    ]  # fmt: skip
