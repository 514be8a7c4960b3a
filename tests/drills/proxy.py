"""The proxy of compose.yaml, on this machine: nginx with the very configuration that is shipped."""

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

import httpx

from benchmarks import ROOT, free_port
from tests.slow_clients import unverified

CONFIGURATION = ROOT / "proxy" / "nginx.conf"
MISSING = "nginx is not installed; Debian has it in the package nginx-light."
START_SECONDS = 10
KEPT_BY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def program() -> str | None:
    """Return where nginx is; it is among the administrator's programs, which a path may leave out."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


@contextmanager
def proxied(base: str) -> Iterator[tuple[str, str]]:
    """Yield the proxy's address with TLS and that without, for a shop at `base`."""
    folder = Path(mkdtemp(prefix="shop-proxy-"))
    folder.chmod(0o711)  # where root starts it, its workers are somebody else
    plain, secure = free_port(), free_port()
    configuration = render(folder, base, plain=plain, secure=secure)
    nginx = program()
    assert nginx, MISSING
    process = subprocess.Popen([nginx, "-c", configuration, "-g", "daemon off;"])
    try:
        _await(process, f"https://localhost:{secure}/healthz", folder)
        yield f"https://localhost:{secure}", f"http://localhost:{plain}"
    finally:
        process.terminate()
        process.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


def check(folder: Path) -> "subprocess.CompletedProcess[str]":
    """Return what `nginx -t` says of the configuration."""
    configuration = render(folder, "http://127.0.0.1:8000", plain=8080, secure=8443)
    return subprocess.run([program() or "nginx", "-t", "-c", configuration], capture_output=True, text=True)


def render(folder: Path, base: str, *, plain: int, secure: int) -> Path:
    """Write the configuration with this machine's ports, and with files in `folder`; return its path."""
    _make_certificate(folder)
    text = CONFIGURATION.read_text()
    own = " ".join(f"{name}_temp_path {folder}/{name};" for name in KEPT_BY)
    for shipped, here in (
        (r"server web:8000;", f"server {base.removeprefix('http://')};"),
        (r"listen 80 ", f"listen 127.0.0.1:{plain} "),
        (r"listen 443 ", f"listen 127.0.0.1:{secure} "),
        (r"/etc/nginx/tls/", f"{folder}/"),
        (r"/run/nginx\.pid", f"{folder}/pid"),
        (r"error_log /dev/stderr", f"error_log {folder}/error.log"),
        (r"access_log /dev/stdout", f"access_log {folder}/access.log"),
        (r"http \{", f"http {{ {own}"),
    ):
        text, found = re.subn(shipped, here, text)
        assert found, f"{CONFIGURATION} has no {shipped}"
    path = folder / "nginx.conf"
    path.write_text(text)
    return path


def _make_certificate(folder: Path) -> None:
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", folder / "key.pem", "-out", folder / "cert.pem"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names, *files]
    subprocess.run(command, check=True, capture_output=True)


def _await(process: "subprocess.Popen[bytes]", url: str, folder: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if httpx.get(url, verify=unverified()).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise RuntimeError(f"nginx did not come up: {(folder / 'error.log').read_text()}")
