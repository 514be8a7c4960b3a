"""Measurements, each on a throw-away PostgreSQL of its own that syncs to disk as production does. Ratios, not times."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shop import embedded

ROOT = Path(__file__).resolve().parent.parent


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
