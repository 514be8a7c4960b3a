"""What does a request cost the processor? `make bench-instructions`

Instructions of the application's process, counted by callgrind, for each of some requests: a figure that a busy machine
does not change. Without the server around it and without PostgreSQL.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from io import BytesIO
from typing import Any
from uuid import uuid4

from benchmarks import ROOT, migrated_server
from benchmarks.catalogue import Scale, fill
from benchmarks.speed import ACCOUNT

WARM, COUNTED = 20, 40  # requests; statements are prepared after five
Request = Callable[[], tuple[str, str, dict[str, str], Any]]  # method, path, headers, body


def requests(token: str) -> dict[str, Request]:
    """Return what is asked, by its name."""
    signed_in = {"authorization": f"Bearer {token}"}
    check = "/api/v1/inventory/check?product_id=7"

    def checkout(lines: int, *, keyed: bool) -> Request:
        body = {"items": [{"product_id": 100 + line, "quantity": 1} for line in range(lines)]}
        return lambda: (
            "POST",
            "/api/v1/orders",
            signed_in | ({"idempotency-key": str(uuid4())} if keyed else {}),
            body,
        )

    return {
        "healthz": lambda: ("GET", "/healthz", {}, None),
        "check, no token": lambda: ("GET", check, {}, None),
        "check": lambda: ("GET", check, signed_in, None),
        "checkout, 1 line, no key": checkout(1, keyed=False),
        "checkout, 1 line": checkout(1, keyed=True),
        "checkout, 20 lines": checkout(20, keyed=True),
    }


def main() -> None:
    if not shutil.which("valgrind"):
        sys.exit("valgrind is not installed; Debian and others have it in a package of that name.")
    with migrated_server() as url:
        fill(url, Scale())
        ask(application(), "POST", "/api/v1/users", {}, {**ACCOUNT, "name": "Buyer"})
        before = count("")
        print(f"{'':<28}{'million instructions':>22}")
        for name in requests(""):
            print(f"{name:<28}{(count(name) - before) / COUNTED / 1e6:>22.2f}", flush=True)


def count(name: str) -> int:
    """Return the instructions of a process that asks each request WARM times, and this one COUNTED times more."""
    done = subprocess.run(
        ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", sys.executable, "-m", __spec__.name, name],
        # The same order of what is in sets, the same log of a production server. A buyer's units are looked at, and
        # never too many.
        env={
            **os.environ, "PYTHONHASHSEED": "0", "LOG_FORMAT": "json", "MAX_HELD_UNITS_PER_USER": "1000000000",
        },
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode or not found:
        sys.exit(done.stderr[-3000:])
    return int(found[1])


def work(name: str) -> None:
    """Ask; what callgrind counts."""
    app = application()
    token = json.loads(ask(app, "POST", "/api/v1/auth/token", {}, ACCOUNT))["access"]
    known = requests(token)
    for request in known.values():
        for _ in range(WARM):
            ask(app, *request())
    for _ in range(COUNTED if name else 0):
        ask(app, *known[name]())


def application() -> Any:
    """Return the shop as a WSGI server has it."""
    from shop.wsgi import application

    return application


def ask(app: Any, method: str, path: str, headers: dict[str, str], body: Any) -> bytes:
    """Return the answer of the application to a request, or stop where it refuses."""
    path, _, query = path.partition("?")
    sent = b"" if body is None else json.dumps(body).encode()
    environ = {
        "REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query, "SCRIPT_NAME": "",
        "SERVER_NAME": "localhost", "SERVER_PORT": "8000", "SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "localhost:8000", "HTTP_ACCEPT": "*/*",
        "CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(sent)),
        "wsgi.input": BytesIO(sent), "wsgi.errors": sys.stderr, "wsgi.url_scheme": "http", "wsgi.version": (1, 0),
        "wsgi.multithread": True, "wsgi.multiprocess": True, "wsgi.run_once": False,
        **{f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()},
    }  # fmt: skip
    said: list[str] = []
    answer = b"".join(app(environ, lambda status, *_: said.append(status)))
    if said[0][0] != "2":
        sys.exit(f"{method} {path} is answered {said[0]}: {answer.decode()}")
    return answer


if __name__ == "__main__":
    main() if len(sys.argv) == 1 else work(sys.argv[1])
