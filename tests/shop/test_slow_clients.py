"""Clients that send or read slowly hold nobody up: at the bare server, and behind the proxy where nginx is there."""

import io
import json
import select
import signal
import socket
import threading
import time
from pathlib import Path
from queue import SimpleQueue

import httpx
import pytest
from django.db import connection
from django.http import FileResponse, HttpResponse

from shop.toolkit.http import concurrency, request_bodies
from shop.toolkit.http.concurrency import limit_concurrency
from tests import factories
from tests.conftest import fetch, wait_until
from tests.drills import proxy
from tests.shop.serve_command import served
from tests.slow_clients import LARGE_FILE, POST, slow_clients, slowest, unverified

BOUND_SECONDS = 3.0  # a busy machine is slow too; who waits for a slow client waits for much longer
JSON = "application/json"
MANY = 60  # more than a server without threads for them works on

needs_nginx = pytest.mark.skipif(not proxy.program(), reason=proxy.MISSING)


def buys(base: str) -> dict[str, object]:
    """Return the requests of those who would have to wait."""
    product = factories.product(stock=1000)
    headers = {"authorization": f"Bearer {factories.access_token(factories.user())}"}
    order = {"items": [{"product_id": product.id, "quantity": 1}]}
    common = {"timeout": 10, "verify": unverified()}
    return {
        "healthz": lambda: httpx.get(f"{base}/healthz", **common),
        "checkout": lambda: httpx.post(f"{base}/api/v1/orders", json=order, headers=headers, **common),
    }


@pytest.mark.parametrize(
    ("kind", "count"),
    [
        ("body", 8),
        ("reader", MANY),
        ("header", 1100),
        pytest.param("body", MANY, marks=pytest.mark.long),
        pytest.param("chunked body", MANY, marks=pytest.mark.long),
        pytest.param("idle", 1100, marks=pytest.mark.long),
    ],
)
def test_nobody_waits_for_slow_clients(server, kind, count):
    asked = buys(server)
    with slow_clients(server, kind, count):
        times = {name: slowest(ask, seconds=1) for name, ask in asked.items()}
    assert max(times.values()) < BOUND_SECONDS, times


def test_a_server_ends_although_somebody_is_still_sending(database):
    with served() as (process, base), slow_clients(base, "body", 8):
        process.send_signal(signal.SIGTERM)
        assert process.wait(14) == 0  # granian's own patience is 10


def test_a_place_is_free_and_has_no_connection_once_the_answer_is_made(database):
    def handler(environ, start_response):
        fetch("SELECT 1")
        return environ["answer"]

    limited = limit_concurrency(handler, 1)
    with Path(__file__).open("rb") as file:
        for answer in (HttpResponse(b"whole"), FileResponse(file), HttpResponse(b"again")):
            given = limited({"answer": answer}, None)  # would wait for ever where the one before has the place
            assert connection.connection is None
            assert b"".join(given)


@pytest.mark.alone
def test_a_place_is_handed_to_whoever_has_waited_longest(database):
    done, gate = [], SimpleQueue()

    def handler(environ, start_response):
        gate.get()
        done.append(environ["number"])
        return HttpResponse()

    limited = limit_concurrency(handler, 1)
    crowd = [threading.Thread(target=limited, args=({"number": number}, None)) for number in range(6)]
    for thread in crowd:
        thread.start()
        time.sleep(0.05)
    for _ in crowd:
        gate.put(None)
    for thread in crowd:
        thread.join(5)
    assert done == [0, 1, 2, 3, 4, 5]


@pytest.mark.alone
def test_who_is_told_to_come_later_waits_in_nobody_s_place(monkeypatch):
    monkeypatch.setattr(concurrency, "MAX_HELD_BACK", 1)
    monkeypatch.setattr(concurrency, "HOLD_BACK_SECONDS", 2.0)
    limited = limit_concurrency(lambda environ, start_response: HttpResponse(headers=environ), 1)
    refused = threading.Thread(target=limited, args=({"Retry-After": "1"}, None))
    began = time.monotonic()
    refused.start()
    time.sleep(0.2)
    limited({}, None)
    limited({"Retry-After": "1"}, None)  # no more are held back than there are threads to spare
    assert time.monotonic() - began < 1
    refused.join()
    assert time.monotonic() - began >= 2


FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(("kind", "length"), [(FORM, 20), (FORM, 300_000), (JSON, 20)])
def test_a_body_that_is_cut_off_is_refused_before_it_is_read_as_something_else(kind, length):
    """The beginning of a number is another number."""
    said = []
    application = request_bodies.read_bodies_first(lambda environ, start: pytest.fail("it came in"))
    environ = {"CONTENT_TYPE": kind, "CONTENT_LENGTH": str(length), "wsgi.input": io.BytesIO(b"quantity=1")}
    answer = b"".join(application(environ, lambda status, headers: said.append(status)))
    assert said == ["400 Bad Request"]
    assert json.loads(answer)["code"] == "invalid"


def test_no_more_long_forms_are_taken_at_once_than_there_is_disk_for(server):
    """Each worker counts its own, and short requests go on."""
    form = f"POST /api/v1/inventory/imports HTTP/1.1\r\nHost: localhost\r\nContent-Type: {FORM}\r\n"
    head = f"{form}Content-Length: 10000000\r\n\r\n".encode()
    host, _, port = server.removeprefix("http://").partition(":")
    clients = [socket.create_connection((host, int(port)), timeout=10) for _ in range(3 * MANY)]
    try:
        for client in clients:
            client.sendall(head)
        answered, _, _ = select.select(clients, [], [], 10)
        assert answered[0].recv(1 << 16).startswith(b"HTTP/1.1 429 ")
        assert httpx.get(f"{server}/healthz").status_code == 200
    finally:
        for client in clients:
            client.close()
    wait_until(lambda: _upload(server).status_code == 401, seconds=5)


def _upload(server: str) -> httpx.Response:
    return httpx.post(f"{server}/api/v1/inventory/imports", files={"file": ("a.csv", b"x" * 1_000_000)})


@pytest.fixture
def behind(server):
    with proxy.proxied(server) as addresses:
        yield addresses


@needs_nginx
def test_nginx_takes_its_configuration(tmp_path):
    done = proxy.check(tmp_path)
    assert done.returncode == 0, done.stderr


@needs_nginx
@pytest.mark.parametrize(
    "kind", ["body", *(pytest.param(kind, marks=pytest.mark.long) for kind in ("chunked body", "reader"))]
)
def test_nobody_waits_behind_the_proxy(behind, kind):
    secure, _ = behind
    asked = buys(secure)
    with slow_clients(secure, kind, MANY):
        times = {name: slowest(ask, seconds=1) for name, ask in asked.items()}
    assert max(times.values()) < BOUND_SECONDS, times


@needs_nginx
def test_the_proxy_answers_what_it_keeps_from_the_shop(behind):
    secure, plain = behind
    with httpx.Client(verify=unverified()) as client:
        assert client.get(f"{secure}/metrics").status_code == 404
        assert client.get(f"{secure}/%6detrics").status_code == 404
        moved = client.post(f"{plain}/api/v1/orders?x=1", json={})
        assert (moved.status_code, moved.headers["location"]) == (308, "https://localhost/api/v1/orders?x=1")
        large = client.post(f"{secure}/api/v1/orders", content=b" " * 1_100_000)
        assert (large.status_code, large.json()["code"]) == (413, "payload_too_large")
        # What the shop refuses by itself comes from the shop.
        middle = client.post(f"{secure}/api/v1/auth/token", content=b" " * 300_000, headers={"content-type": JSON})
        assert middle.json()["request_id"] == middle.headers["x-request-id"]
        long = client.post(f"{secure}/api/v1/inventory/imports", files={"file": ("a.csv", b"x" * 20_000_000)})
        assert long.json()["code"] == "not_authenticated"


@needs_nginx
def test_the_proxy_names_requests_and_packs_no_secrets(behind):
    secure, _ = behind
    packed = {"accept-encoding": "gzip"}
    with httpx.Client(verify=unverified(), headers=packed) as client:
        named = client.get(f"{secure}/healthz", headers={"x-request-id": "mine"})
        assert named.headers["x-request-id"] == "mine"
        assert client.get(f"{secure}/api/schema").headers.get("content-encoding") == "gzip"
        assert client.get(f"{secure}{LARGE_FILE}").headers.get("content-encoding") == "gzip"
        assert "content-encoding" not in client.get(f"{secure}/admin/login/").headers


@needs_nginx
def test_one_address_has_a_bounded_number_of_requests_on_their_way(behind):
    secure, _ = behind
    body = POST + b"Content-Length: 1000\r\n\r\n{"
    address = ("localhost", int(secure.rpartition(":")[2]))
    clients: list[socket.socket] = []
    try:
        for _ in range(110):
            clients.append(unverified().wrap_socket(socket.create_connection(address, timeout=10)))
            clients[-1].sendall(body)
        # nginx's workers take them in any order.
        refused = [client for client in clients if _received(client).startswith(b"HTTP/1.1 429 ")]
        assert 1 <= len(refused) <= 10
    finally:
        for client in clients:
            client.close()


def _received(client: socket.socket) -> bytes:
    client.settimeout(0.05)
    try:
        return client.recv(1 << 16)
    except TimeoutError:
        return b""
