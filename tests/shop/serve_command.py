"""`manage.py serve` as a process that runs while a test does."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks import ROOT, await_answer, free_port, running
from tests.conftest import environment


@contextmanager
def served(**more: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    port = free_port()
    # From wherever a service manager starts it.
    command = ["sh", "-c", 'cd / && exec "$@"', "sh", sys.executable, str(ROOT / "manage.py"), "serve"]
    with running(command, **{**environment(), "PORT": str(port), "DATABASE_POOL_SIZE": "2", **more}) as process:
        base = f"http://127.0.0.1:{port}"
        await_answer(process, f"{base}/readyz")
        yield process, base
