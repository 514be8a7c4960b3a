"""Every error is application/problem+json with the members of the contract, whoever raises it."""

import json
import threading

import httpx
import pytest
from django.db import Error, connection, connections, transaction
from django.urls import path

from inventory import services as inventory
from shop import answers, urls
from shop.toolkit.callers import SYSTEM
from shop.toolkit.db import transactions
from shop.toolkit.ids import new_id
from tests import factories
from tests.conformance import problem_of


def crash(request):
    raise RuntimeError("a planted bug")


urlpatterns = [path("crash", crash), *urls.urlpatterns]
handler400, handler403, handler404, handler500 = urls.handler400, urls.handler403, urls.handler404, urls.handler500


@pytest.mark.parametrize("unknown", ["/nope", "/api/v1", "/api/v1/nope", "/api/v1/products/", "/api/v1/products/abc"])
def test_an_unknown_path_is_a_404(api, unknown):
    problem_of(api.get(unknown), 404, "not_found")


def test_a_bug_is_a_500_that_tells_nothing(api, settings):
    settings.ROOT_URLCONF = __name__
    api.raise_request_exception = False

    problem = problem_of(api.get("/crash"), 500, "internal_error")

    assert "planted" not in json.dumps(problem)


def test_a_foreign_host_is_a_400(api):
    problem_of(api.get("/api/v1/products", headers={"host": "evil.example"}), 400, "invalid")


@pytest.mark.parametrize("method", ["PUT", "OPTIONS", "TRACE", "DELETE"])
def test_a_method_that_is_not_there_is_a_405(api, method):
    response = api.generic(method, "/api/v1/products")

    problem_of(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "GET, HEAD, POST"


def test_a_representation_that_is_not_there_is_a_406(api):
    problem_of(api.get("/api/v1/products", headers={"accept": "application/xml"}), 406, "not_acceptable")


def test_another_media_type_is_a_415(api):
    response = api.post("/api/v1/users", b"email=a", content_type="application/x-www-form-urlencoded")

    problem_of(response, 415, "unsupported_media_type")


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"nonsense",
        b'{"a": 1} x',
        b'{"email": "a", "email": "b"}',
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b"[" * 21 + b"]" * 21,
        b"[" * 100_000,
        b'{"a":' * 1000 + b"1" + b"}" * 1000,
        b'{"name": "\\ud800"}',
        b'{"\\udfff": 1}',
        b"\xff\xfe{}",
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"a": 1e' + b"9" * 50 + b"}",
        b'{"a": 1e999999999999999}',
        b'{"a": 1e-999999999999999}',
        b'{"a": 1e99999999}',
        b'{"a": 0e-99999999}',
        b'{"a": 1e99999999999999999999999}',
        b"{" + b",".join(b'"%d": 1' % number for number in range(20_000)) + b', "19999": 1}',
        b"\xef\xbb\xbf{}",
    ],
)
def test_a_body_that_is_no_json_of_ours_is_a_400(api, body):
    problem_of(api.post("/api/v1/users", body), 400, "malformed_json")


def test_a_body_of_twenty_levels_is_read(api):
    problem_of(api.post("/api/v1/users", b"[" * 20 + b"]" * 20), 400, "invalid")


def test_a_large_body_is_a_413(api):
    problem_of(api.post("/api/v1/users", b'{"a": "' + b"x" * 262_144 + b'"}'), 413, "payload_too_large")


def test_a_head_request_is_answered_like_a_get(api):
    response = api.head("/api/v1/products")

    assert (response.status_code, response.content) == (200, b"")


@pytest.mark.alone
def test_a_lock_that_cannot_be_had_is_a_503_to_try_again(customer):
    product = factories.product(stock=5)
    locked, done = threading.Event(), threading.Event()

    def hold_the_row() -> None:
        with connection.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("SELECT 1 FROM inventory_stock FOR UPDATE")
            locked.set()
            done.wait(10)
            cursor.execute("ROLLBACK")
        connections.close_all()

    thread = threading.Thread(target=hold_the_row)
    thread.start()
    locked.wait(5)
    response = customer.post("/api/v1/orders", {"items": [{"product_id": product.id, "quantity": 1}]})
    done.set()
    thread.join()

    problem_of(response, 503, "stock_busy")
    assert response.headers["retry-after"] == "1"


def test_a_database_that_is_gone_is_a_503(api, settings):
    connection.close()
    host = connection.settings_dict["HOST"]
    try:
        connection.settings_dict["HOST"] = "/nonexistent"
        for path_ in ("/api/v1/products", "/readyz"):
            problem_of(api.get(path_), 503, "database_unavailable")
        assert api.get("/healthz").json() == {"status": "ok"}
    finally:
        connection.settings_dict["HOST"] = host
        connection.close()
    assert api.get("/readyz").json() == {"status": "ready"}


@pytest.mark.parametrize("path_", ["/api/v1/inventory/warehouses/%00", "/api/v1/products?search=%00", "/admin/?x=%00"])
def test_a_nul_is_a_400_wherever_it_comes(staff, path_):
    problem_of(staff.get(path_, headers={"accept": "application/json"}), 400, "invalid")


def test_a_nul_in_a_cookie_is_a_400(api):
    headers = {"cookie": 'sessionid="\\000aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"', "accept": "application/json"}
    problem_of(api.get("/admin/", headers=headers), 400, "invalid")


@pytest.mark.parametrize("path_", ["/healthz", "/readyz"])
def test_health_is_asked_not_told(path_):
    client = factories.JsonClient(enforce_csrf_checks=True)

    problem_of(client.post(path_, {}), 405, "method_not_allowed")


def test_a_form_without_its_token_is_a_403(api):
    client = factories.JsonClient(enforce_csrf_checks=True)

    problem_of(client.post("/admin/login/", {}, headers={"accept": "application/json"}), 403, "csrf_failed")


def test_a_chunked_body_is_read(server):
    product = factories.product(stock=3)

    def chunks():
        yield b'{"items": [{"product_id": '
        yield b"%d" % product.id
        yield b"}]}"

    headers = {"content-type": "application/json"}
    small = httpx.post(f"{server}/api/v1/inventory/check", content=chunks(), headers=headers)
    large = httpx.post(f"{server}/api/v1/inventory/check", content=iter([b" " * 300_000]), headers=headers)

    assert small.json()["items"][0]["available_quantity"] == 3
    problem_of(large, 413, "payload_too_large")


def test_a_caller_may_catch_a_refusal_behind_a_savepoint(database):
    """The rule of docs/architecture.md: who catches wraps the call in `transaction.atomic()`."""
    product = factories.product(stock=1)

    def work() -> str:
        try:
            with transaction.atomic():
                inventory.release(new_id(), owner="test", caller=SYSTEM)
        except inventory.ReservationNotFound:
            return inventory.get_item(product.id, caller=SYSTEM).sku
        raise AssertionError

    assert transactions.run(work) == product.sku


@pytest.mark.parametrize("state", ["25P03", "25006", "57P01", "08006", "53100"])
def test_a_connection_that_the_database_ended_is_a_503(database, state):
    def work() -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"DO $$ BEGIN RAISE EXCEPTION 'planted' USING ERRCODE = '{state}'; END $$")

    with pytest.raises(Error) as caught:
        transactions.run(work)

    problem_of_(answers.answer(caught.value, {}), 503, "database_unavailable")


def problem_of_(response, status: int, code: str) -> None:
    assert (response.status_code, json.loads(response.content)["code"]) == (status, code)
