"""Logs for machines: each line an object with what the request is called, and no secrets."""

import json
import logging
import subprocess
import sys
from uuid import UUID

import pytest
import structlog
from django.urls import path

from shop import urls
from shop.toolkit.telemetry import logs
from tests import factories
from tests.conftest import environment


def crash(request):
    raise RuntimeError("a planted bug")


urlpatterns = [path("crash", crash), *urls.urlpatterns]
handler400, handler403, handler404, handler500 = urls.handler400, urls.handler403, urls.handler404, urls.handler500


def written(record: logging.LogRecord) -> dict:
    return json.loads(logs.formatter().format(record))


def record(message: str, **extra) -> logging.LogRecord:
    made = logging.LogRecord("shop.test", logging.WARNING, "file", 1, message, (), None)
    vars(made).update(extra)
    return made


def test_a_line_is_an_object_with_time_level_name_and_request():
    with structlog.contextvars.bound_contextvars(request_id="abc"):
        found = written(record("hello", sku="MUG"))
    assert found.pop("timestamp").endswith("Z")
    assert found == {"event": "hello", "level": "warning", "logger": "shop.test", "request_id": "abc", "sku": "MUG"}


@pytest.mark.parametrize(
    "name", ["password", "new_password1", "refresh", "HTTP_AUTHORIZATION", "csrf_token", "otp_code"]
)
def test_a_secret_is_hidden_wherever_somebody_puts_it(name):
    assert written(record("hello", **{name: "hunter2"}))[name] == "(hidden)"


def test_a_request_is_called_the_same_in_answer_problem_and_log(api, settings, caplog):
    settings.ROOT_URLCONF = __name__
    api.raise_request_exception = False
    answer = api.get("/crash", headers={"x-request-id": "from-the-proxy"})
    assert answer.headers["x-request-id"] == answer.json()["request_id"] == "from-the-proxy"
    assert "a planted bug" in caplog.text

    given = api.get("/nowhere", headers={"x-request-id": 'not one" of ours'})
    assert UUID(given.headers["x-request-id"]) == UUID(given.json()["request_id"])
    assert api.get("/api/v1/products", headers={"x-request-id": "x" * 65}).headers["x-request-id"] != "x" * 65


def test_what_a_request_was_called_is_not_left_to_the_next(api):
    api.get("/api/v1/products", headers={"x-request-id": "first"})
    assert "request_id" not in structlog.contextvars.get_contextvars()


def test_a_crash_is_one_line_of_json_that_gives_no_secret_away(database):
    account = factories.user()
    code = f"""
import django
django.setup()
from django.conf import settings
from django.test import Client
settings.ROOT_URLCONF = "tests.shop.test_logs"
headers = {{"host": "localhost", "authorization": "Bearer secret-token", "x-request-id": "r1"}}
client = Client(raise_request_exception=False, headers=headers)
login = {{"email": "{account.email}", "password": "secret-word"}}
client.post("/api/v1/auth/token", login, content_type="application/json")
client.get("/crash?token=secret-query")
client.get("/", headers={{"host": "evil.example"}})
"""
    said = subprocess.run(
        [sys.executable, "-c", code],
        env={**environment(), "LOG_FORMAT": "json", "DJANGO_SETTINGS_MODULE": "shop.settings"},
        capture_output=True,
        text=True,
    )
    assert said.returncode == 0, said.stderr
    lines = [json.loads(line) for line in said.stderr.splitlines()]
    (crashed,) = [line for line in lines if "planted" in line.get("exception", "")]
    assert (crashed["request_id"], crashed["level"]) == ("r1", "error")
    assert "secret" not in said.stderr


def test_what_becomes_of_an_order_is_told_once_it_is_committed(caplog, customer):
    product = factories.product(stock=5)
    with caplog.at_level(logging.INFO, logger="orders"):
        wish = {"items": [{"product_id": product.id, "quantity": 1}]}
        order = customer.post("/api/v1/orders", wish).json()
        customer.post(f"/api/v1/orders/{order['id']}/cancel")
        wish["items"][0]["quantity"] = 50
        assert customer.post("/api/v1/orders", wish).status_code == 409

    told = [written(found) for found in caplog.records if found.name.startswith("orders")]
    assert [line["event"] for line in told] == ["order placed", "order cancelled"]
    assert {line["order_id"] for line in told} == {order["id"]}
    assert told[0]["number"] == order["number"]
    assert told[0]["user_id"] == told[0]["actor_id"] == order["user_id"]
