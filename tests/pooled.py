"""Run the tests through PgBouncer in transaction mode: all but the long ones, or some of them.

make test-pooled ARGS=tests/orders
"""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

import psycopg

from benchmarks import ROOT, free_port
from shop.local import embedded

# As docs/operations.md shows it, but for who may come.
CONFIGURATION = """
[databases]
* = host={host} user={user} connect_query='{settings}'
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
auth_type = any
pool_mode = transaction
max_client_conn = 1000
default_pool_size = 60
"""


def main() -> int:
    if not shutil.which("pgbouncer"):
        sys.exit("pgbouncer is not installed; Debian and others have it in a package of that name.")
    with embedded.throwaway() as url, pooled(url) as address:
        environment = {**os.environ, "DATABASE_URL": address, "DATABASE_POOLER": "transaction"}
        command = [sys.executable, "-m", "pytest", *(sys.argv[1:] or ["-m", "not long"])]
        return subprocess.run(command, cwd=ROOT, env=environment).returncode


@contextmanager
def pooled(url: str) -> Iterator[str]:
    """Yield the address of a PgBouncer before the embedded server at `url`."""
    folder = Path(tempfile.mkdtemp(prefix="shop-pooled-"))
    port = free_port()
    path = folder / "pgbouncer.ini"
    host = unquote(url.split("@")[1].rsplit("/", 1)[0])
    path.write_text(CONFIGURATION.format(host=host, user=embedded.SUPERUSER, settings=connect_query(), port=port))
    # It does not run as root; whoever PostgreSQL runs as may pass to its socket.
    owner = pwd.getpwuid(Path(host).stat().st_uid).pw_name
    folder.chmod(0o755)
    process = subprocess.Popen(["pgbouncer", "-q", *(["-u", owner] if os.geteuid() == 0 else []), str(path)])
    try:
        address = f"postgres://{embedded.SUPERUSER}@127.0.0.1:{port}/{embedded.DATABASE}"
        _await(address, process)
        yield address
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder)


def connect_query() -> str:
    """Return the statements by which the pooler sets up a connection, as its configuration quotes them."""
    page = (ROOT / "docs" / "operations.md").read_text()
    (line,) = [line for line in page.splitlines() if "connect_query=" in line]
    return line.partition("connect_query='")[2].rstrip("'")


def _await(address: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            psycopg.connect(address).close()
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


if __name__ == "__main__":
    sys.exit(main())
