"""`manage.py run`: all of `make run` but the installation, in a copy of the project with its own data folder."""

import contextlib
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from django.conf import settings

from benchmarks import free_port
from tests.conftest import database_url, wait_until
from tests.shop.running import SECONDS, Running, manage, new_house, processes_of

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def house() -> Iterator[Path]:
    with new_house() as folder:
        yield folder


def take_the_tour(house: Path, port: int, password: str) -> str:
    """Run the shell block of the README as it stands, but for the port and the password."""
    (block,) = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    script = block.replace("127.0.0.1:8000", f"127.0.0.1:{port}").replace("the one that make run printed", password)
    # Strict where the reader's shell is not: a line that fails ends it.
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=house, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def connect(house: Path) -> None:
    """Have a command use the database, whatever is in it: these tests run in any order."""
    code = "from django.db import connection; connection.ensure_connection()"
    result = manage(house, "shell", "-v", "0", "-c", code)
    assert result.returncode == 0, result.stderr


def count_products(house: Path, **environment: str) -> str:
    code = "from products.models import Product; print('products:', Product.objects.count())"
    result = manage(house, "shell", "-v", "0", "-c", code, **environment)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip().splitlines()[-1]


def use_what_was_printed(shop: Running, banner: str) -> str:
    """Sign in, call and open all that the banner names; return the password it told."""
    assert httpx.get(f"{shop.base}/readyz").status_code == 200
    password = banner.split("with the password ")[1].split(maxsplit=1)[0]
    token = httpx.post(f"{shop.base}/api/v1/auth/token", json={"email": "admin@example.com", "password": password})
    assert token.status_code == 200
    curls = [line.strip() for line in banner.splitlines() if line.strip().startswith("curl ")]
    assert len(curls) == 3
    for line in curls:
        answer = subprocess.run([*shlex.split(line), "-sf"], capture_output=True, text=True)
        assert answer.returncode == 0, line
        assert answer.stdout.startswith("{")
    for page in ("/api/docs", "/admin/login/"):
        assert page.removesuffix("login/") in banner
        assert httpx.get(shop.base + page).status_code == 200
    return password


def test_from_the_first_start_over_kill_9_to_the_last_stop(house):
    """One long story, since each chapter needs the state that the one before left."""
    port = free_port()
    first = Running(house, port)
    banner = first.wait_for_banner()
    assert f"Made the database in {house}/.data/postgres in " in banner

    # It answers, and what it printed works as pasted.
    password = use_what_was_printed(first, banner)

    # The README's tour works line by line.
    said = take_the_tour(house, port, password)
    assert '"status":"confirmed"' in said
    assert '"status":"cancelled"' in said
    assert '"code": "insufficient_stock"' in said
    assert '"sku":"JUG"' in said
    assert '"low_stock":true' in said
    assert '"reason":"sale"' in said
    assert '"total":"9.90"' in said

    # A second one beside it says what is wrong; other commands join the same database.
    for other_port in (port, free_port()):
        second = Running(house, other_port)
        assert second.process.wait(SECONDS) == 1
        assert "is in use by another `make run` (process" in second.output()
        assert "Traceback" not in second.output()
    assert count_products(house) == "products: 13"  # the tour has made one
    assert httpx.get(f"{first.base}/readyz").status_code == 200

    # Ctrl-C stops all of it.
    first.stop()
    assert processes_of(house) == []
    assert "Traceback" not in first.output()

    # Commands start the database by themselves and leave nothing running.
    assert count_products(house) == "products: 13"
    assert processes_of(house) == []

    # The data is there the next time; the password is not told again.
    again = Running(house, port)
    said = again.wait_for_banner()
    assert "password" not in said
    assert "Loaded" not in said
    assert "Made the database" not in said
    assert httpx.get(f"{again.base}/api/v1/products").json()["results"][0]["sku"] == "MUG-BLUE"

    # kill -9 of everything, and the next start recovers.
    for process in processes_of(house):
        with contextlib.suppress(psutil.NoSuchProcess):  # its parent's end may have been its own
            process.kill()
    wait_until(lambda: processes_of(house) == [], seconds=SECONDS)
    again.process.wait()
    recovered = Running(house, port)
    recovered.wait_for_banner()
    assert len(httpx.get(f"{recovered.base}/api/v1/products").json()["results"]) == 13

    # kill -9 of the command alone takes the server with it, and the next start joins the PostgreSQL that is left.
    recovered.process.kill()
    recovered.process.wait()
    joined = Running(house, port)
    joined.wait_for_banner()
    joined.stop()
    assert processes_of(house) == []


def test_a_pid_file_that_names_another_process_is_stale(house):
    connect(house)
    pid_file = house / ".data" / "postgres" / "postmaster.pid"
    pid_file.write_text(f"{os.getpid()}\n{house}/.data/postgres\n0\n5432\n\n\n0 0\nready\n")

    connect(house)
    assert not pid_file.exists()


def test_a_taken_port_is_told(house):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        running = Running(house, port)

        assert running.process.wait(SECONDS) == 1
    assert f"The port {port} of 127.0.0.1 cannot be had" in running.output()
    assert f"make run PORT={port + 1}" in running.output()
    assert "Traceback" not in running.output()
    assert processes_of(house) == []


@pytest.mark.skipif(sys.platform != "linux", reason="the lock is the Linux kernel's")
def test_two_that_start_at_once_do_not_share_a_port(house):
    port = free_port()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(f"\0shop-run-{port}")
        running = Running(house, port)

        assert running.process.wait(SECONDS) == 1
    assert f"Another `make run` is about to serve on the port {port}" in running.output()


def test_it_comes_up_whatever_hosts_are_allowed_and_whatever_proxy_is_set(house):
    running = Running(house, free_port(), ALLOWED_HOSTS="shop.example", http_proxy="http://127.0.0.1:9")

    running.wait_for_banner()
    running.stop()


@pytest.mark.long
def test_a_first_start_that_was_killed_is_done_over(house):
    data = house / ".data"
    shutil.rmtree(data, ignore_errors=True)
    starting = Running(house, free_port())
    wait_until((data / "postgres.unfinished" / "PG_VERSION").exists, seconds=SECONDS)
    for process in processes_of(house):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    starting.process.wait()
    wait_until(lambda: processes_of(house) == [], seconds=SECONDS)
    assert not (data / "postgres").exists()

    again = Running(house, free_port())
    again.wait_for_banner()
    again.stop()


def test_workers_of_a_server_that_was_killed_do_not_stay(house):
    running = Running(house, free_port())
    running.wait_for_banner()
    server, worker = children(running)
    assert "shop.server" in server.cmdline()
    assert worker.cmdline()[-1] == "work"

    server.kill()

    assert running.process.wait(SECONDS) == 1
    wait_until(lambda: processes_of(house) == [], seconds=SECONDS)


def children(running: Running) -> list[psutil.Process]:
    """Return the server and the worker."""
    found = [process for process in processes_of(running.house) if process.ppid() == running.process.pid]
    return sorted(found, key=lambda process: "work" in process.cmdline())


def test_the_worker_finishes_large_imports_and_another_comes_when_it_dies(house):
    login = {"email": "stock@example.com", "password": "nine lives of a cat"}
    made = {"DJANGO_SUPERUSER_EMAIL": login["email"], "DJANGO_SUPERUSER_PASSWORD": login["password"]}
    running = Running(house, free_port(), **made)
    running.wait_for_banner()
    _, worker = children(running)
    worker.kill()
    token = httpx.post(f"{running.base}/api/v1/auth/token", json=login).json()["access"]
    products = httpx.get(f"{running.base}/api/v1/products").json()["results"]
    rows = "".join(f"{product['sku']},MAIN,1,{number}\n" for product in products for number in range(100))

    with httpx.Client(base_url=f"{running.base}/api/v1/inventory", headers={"authorization": f"Bearer {token}"}) as api:
        files = {"file": ("delivery.csv", f"sku,warehouse,quantity,reference\n{rows}")}
        accepted = api.post("/imports", files=files, data={"mode": "adjust"})
        assert accepted.status_code == 202
        url = f"/imports/{accepted.json()['id']}"
        wait_until(lambda: api.get(url).json()["status"] == "applied", seconds=SECONDS)
        assert api.get(url).json()["done"] == 100 * len(products)
    assert "The worker ended with exit code -9; here is another." in running.output()
    running.stop()
    assert processes_of(house) == []


@pytest.mark.parametrize("port", ["abc", "0", "70000", "-1"])
def test_a_port_that_is_none_is_told(house, port):
    result = manage(house, "run", PORT=port)

    assert result.returncode == 1
    assert "a whole number of at least 1 and at most 65535 is needed" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ({"DATABASE_URL": "postgres:///x"}, "SECRET_KEY"),
        ({"DATABASE_URL": "postgres:///x", "SECRET_KEY": ""}, "SECRET_KEY"),
    ],
)
def test_elsewhere_a_missing_secret_stops_the_start_with_a_sentence(house, environment, name):
    result = manage(house, "check", **environment)

    assert result.returncode == 1
    assert result.stderr.startswith(f"{name} is not set.")
    assert "Traceback" not in result.stderr


def test_without_a_database_the_server_says_so(house):
    environment = {"PATH": os.environ["PATH"], "SECRET_KEY": "of-this-test-and-long-enough-for-it"}
    result = subprocess.run(
        [sys.executable, "-c", "import shop.wsgi"], cwd=house, env=environment, capture_output=True, text=True
    )

    assert result.returncode == 1
    assert result.stderr.startswith("DATABASE_URL is not set.")


def test_a_database_url_is_used_instead_and_the_named_staff_user_made(house, database):
    port = free_port()
    running = Running(
        house,
        port,
        DATABASE_URL=database_url(settings.DATABASES["default"]["NAME"]),
        DATABASE_POOLER="transaction" if settings.POOLED_BY_TRANSACTION else "none",
        SECRET_KEY="of-this-test-and-long-enough-for-it",
        HTTPS="off",
        DJANGO_SUPERUSER_EMAIL="boss@example.com",
        DJANGO_SUPERUSER_PASSWORD="the-boss-knows-it",
    )
    banner = running.wait_for_banner()
    login = {"email": "boss@example.com", "password": "the-boss-knows-it"}
    token = httpx.post(f"{running.base}/api/v1/auth/token", json=login)
    running.stop()

    assert token.status_code == 200
    assert "password" not in banner
    assert processes_of(house) == []


def test_generated_keys_are_private_and_stay(house):
    connect(house)
    keys = {name: (house / ".data" / name) for name in ("secret_key", "jwt_signing_key")}
    before = {name: path.read_text() for name, path in keys.items()}

    connect(house)

    assert {name: path.read_text() for name, path in keys.items()} == before
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in keys.values())
    assert len(set(before.values())) == 2
    assert min(len(secret) for secret in before.values()) >= 50
