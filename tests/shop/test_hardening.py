"""What production is started with, and what it refuses to be started with."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import factories

ROOT = Path(__file__).resolve().parents[2]
PRODUCTION = {
    "PATH": os.environ["PATH"],
    "SECRET_KEY": "of-these-tests-and-long-enough-for-all-of-the-fifty-that-are-asked",
    "ALLOWED_HOSTS": "shop.example",
}


def manage(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={**PRODUCTION, "DATABASE_URL": os.environ["DATABASE_URL"], **environment},
        capture_output=True,
        text=True,
    )


def test_the_deployment_check_finds_nothing(database):
    result = manage("check", "--deploy", "--fail-level", "INFO")
    assert (result.returncode, "no issues" in result.stdout) == (0, True), result.stderr


REFUSED = [
    ({"DEBUG": "true"}, "DEBUG is on"),
    ({"ALLOWED_HOSTS": "*"}, "ALLOWED_HOSTS is '*'"),
    ({"ALLOWED_HOSTS": "shop.example,*"}, "ALLOWED_HOSTS is '*'"),
    ({"SECRET_KEY": ""}, "SECRET_KEY is not set"),
    ({"SECRET_KEY": "short"}, "SECRET_KEY is weak"),
    ({"SECRET_KEY": "a" * 60}, "SECRET_KEY is weak"),
    ({"SECRET_KEY": "django-insecure-abcdefghijklmnopqrstuvwxyz0123456789"}, "SECRET_KEY is weak"),
    ({"JWT_SIGNING_KEY": "short"}, "JWT_SIGNING_KEY is weak"),
    ({"JWT_PREVIOUS_KEYS": "short"}, "JWT_PREVIOUS_KEYS is weak"),
    ({"HTTPS": "maybe"}, "HTTPS is 'maybe'; one of on, off"),
    ({"SECOND_FACTOR": "yes"}, "SECOND_FACTOR is 'yes'; one of on, off"),
    ({"THROTTLE_LOGIN": "often"}, "THROTTLE_LOGIN is 'often'; a rate such as"),
    ({"THROTTLE_REGISTER": "0/h"}, "THROTTLE_REGISTER is '0/h'; a rate such as"),
    ({"TRUSTED_PROXIES": "-1"}, "TRUSTED_PROXIES is '-1'; a whole number"),
]


@pytest.mark.parametrize(("environment", "said"), REFUSED)
def test_the_start_is_refused_with_a_sentence(environment, said):
    result = manage("check", **environment)
    assert result.returncode == 1
    assert result.stderr.startswith(said)
    assert "Traceback" not in result.stderr


def test_a_list_may_have_blanks():
    keys = "a-first-key-that-is-long-enough-0123, a-second-key-that-is-long-enough-4567"
    code = "from shop import settings; print(settings.JWT_PREVIOUS_KEYS[1], settings.ALLOWED_HOSTS)"
    environment = {**PRODUCTION, "DATABASE_URL": "postgres:///x", "JWT_PREVIOUS_KEYS": keys, "ALLOWED_HOSTS": "a, b"}
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert said.stdout == "a-second-key-that-is-long-enough-4567 ['a', 'b']\n"


def test_debug_is_for_ones_own_machine():
    assert manage("check", DEBUG="true", HTTPS="off").returncode == 0


def test_every_answer_has_the_headers_of_security(api):
    answers = {"/api/v1/products": 200, "/nowhere": 404, "/admin/login/": 200, "/api/docs": 200, "/?a=%00": 400}
    for path, status in answers.items():
        answer = api.get(path)
        assert answer.status_code == status
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert api.get("/nowhere").headers["content-security-policy"].startswith("default-src 'none'")


@pytest.mark.parametrize("path", ["/api/v1/products", "/admin/login/"])
def test_another_origin_is_not_let_in(api, path):
    answer = api.get(path, headers={"origin": "https://elsewhere.example"})
    assert "access-control-allow-origin" not in answer.headers


def test_an_origin_that_is_named_is_let_in_to_the_api_alone(api, settings):
    settings.MIDDLEWARE = ["corsheaders.middleware.CorsMiddleware", *settings.MIDDLEWARE]
    settings.CORS_ALLOWED_ORIGINS = ["https://front.example"]
    named = {"origin": "https://front.example"}
    assert api.get("/api/v1/products", headers=named).headers["access-control-allow-origin"] == named["origin"]
    assert "access-control-allow-origin" not in api.get("/admin/login/", headers=named).headers
    other = api.get("/api/v1/products", headers={"origin": "https://elsewhere.example"})
    assert "access-control-allow-origin" not in other.headers
    asked = api.options(
        "/api/v1/orders",
        headers={
            **named,
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization,idempotency-key",
        },
    )
    assert "idempotency-key" in asked.headers["access-control-allow-headers"]


def test_with_https_cookies_cross_no_other_way_and_requests_are_sent_there(database):
    code = (
        "import django; django.setup();"
        "from django.test import Client; c = Client(headers={'host': 'shop.example'});"
        "r = c.get('/admin/login/', secure=True); k = r.cookies['csrftoken'];"
        "print(k['secure'], r.headers['strict-transport-security']);"
        "print(c.get('/admin/login/').headers['location'], c.get('/healthz').status_code)"
    )
    said = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**PRODUCTION, "DATABASE_URL": os.environ["DATABASE_URL"], "DJANGO_SETTINGS_MODULE": "shop.settings"},
        capture_output=True,
        text=True,
    )
    assert said.stdout.split() == [
        "True", "max-age=31536000", "https://shop.example/admin/login/", "200"
    ], said.stderr  # fmt: skip


def test_a_probe_need_not_know_our_name_and_everybody_else_must(api, settings):
    settings.ALLOWED_HOSTS = ["shop.example"]
    settings.METRICS_TOKEN = "of-the-tests-and-nobody-else-0123456789"
    asked = {"host": "10.0.0.7:8000", "authorization": f"Bearer {settings.METRICS_TOKEN}"}

    for path in settings.SERVER_PATHS:
        assert api.get(path, headers=asked).status_code == 200
    for path in ("/api/v1/products", "/api/docs", "/admin/login/", "/healthz/"):
        assert api.get(path, headers=asked).status_code == 400


def test_a_signed_in_browser_keeps_its_session_from_scripts(api):
    account = factories.user(is_staff=True)
    door = {"username": account.email, "password": factories.PASSWORD, "next": "/admin/"}
    answer = api.generic("POST", "/admin/login/", "&".join(f"{k}={v}" for k, v in door.items()),
                         "application/x-www-form-urlencoded")  # fmt: skip
    cookie = answer.cookies["sessionid"]
    assert (cookie["httponly"], cookie["samesite"]) == (True, "Lax")
