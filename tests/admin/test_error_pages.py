"""Under /admin/ whoever refuses answers people with a page that says what happened and what to do, never with JSON."""

import re
from collections.abc import Callable

import pytest
from django.db import connection
from django.test import Client
from django.urls import path

from shop import urls
from shop.toolkit.http import error_pages
from shop.toolkit.rates import read_rate
from tests import factories
from tests.admin.staff_client import IMPORTS, ITEMS, StaffClient, signed_in, upload
from tests.conformance import problem_of
from users import models as user_models


def crash(request):
    raise RuntimeError("a planted bug")


def be_busy(request):
    with connection.cursor() as cursor:
        cursor.execute("DO $$ BEGIN RAISE EXCEPTION 'planted' USING ERRCODE = '57014'; END $$")


urlpatterns = [path("admin/crash", crash), path("admin/busy", be_busy), *urls.urlpatterns]
handler400, handler403, handler404, handler500 = urls.handler400, urls.handler403, urls.handler404, urls.handler500

JSON = {"accept": "application/json"}


@pytest.fixture
def mug(database):
    return factories.product(sku="MUG", stock=10)


@pytest.fixture
def root(mug) -> StaffClient:
    client = signed_in(is_superuser=True)
    client.raise_request_exception = False
    return client


def page_of(response, status: int, *said: str) -> str:
    """Hold that a response is a page, with its status, which says these things and leads on."""
    text = response.content.decode()
    assert (response.status_code, response.headers["Content-Type"]) == (status, "text/html; charset=utf-8"), text[:300]
    for part in said:
        assert part in text
    assert 'href="/admin/"' in text
    assert f"Error {status}" in text
    assert re.findall(r"<script(?![^>]*\bsrc=)[^>]*>", text) == []  # the policy would not run it
    return text


def _upload_too_large(client, mug, settings, **extra):
    settings.MAX_UPLOAD_BYTES = -(1 << 20)
    return client.post(f"{IMPORTS}upload/", {"mode": "set"}, **extra)


def _without_token(client, mug, settings, **extra):
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(user_models.User.objects.get(pk=client.user_id))
    return strict.post(f"{ITEMS}{mug.id}/receive/", {"quantity": 1}, **extra)


def _no_right(client, mug, settings, **extra):
    return signed_in("Inventory viewer").get(f"{ITEMS}{mug.id}/receive/", **extra)


def _in_another_charset(client, mug, settings, **extra):
    return client.generic("POST", f"{ITEMS}{mug.id}/receive/", b"a=1", "text/plain; charset=latin-1", **extra)


def _broken_upload(client, mug, settings, **extra):
    return client.generic("POST", f"{IMPORTS}upload/", b"--x", "multipart/form-data", **extra)


def _many_fields(client, mug, settings, **extra):
    return client.post(f"{ITEMS}{mug.id}/receive/", {f"f{number}": 1 for number in range(1001)}, **extra)


def _large_field(client, mug, settings, **extra):
    body = b"note=" + b"x" * 2_700_000
    return client.generic("POST", f"{ITEMS}{mug.id}/receive/", body, "application/x-www-form-urlencoded", **extra)


def _planted(address: str) -> Callable:
    def ask(client, mug, settings, **extra):
        settings.ROOT_URLCONF = __name__
        return client.get(address, **extra)

    return ask


def _database_gone(client, mug, settings, **extra):
    return without_database(lambda: client.get(ITEMS, **extra))


def without_database(send: Callable):
    connection.close()
    host = connection.settings_dict["HOST"]
    try:
        connection.settings_dict["HOST"] = "/nonexistent"
        return send()
    finally:
        connection.settings_dict["HOST"] = host
        connection.close()


def _asked(address: str, **headers: str) -> Callable:
    def ask(client, mug, settings, **extra):
        given = {**extra, "headers": {**extra.get("headers", {}), **headers}}
        return client.get(address.format(item=f"{ITEMS}{mug.id}"), **given)

    return ask


# Every way to be refused: what is sent, and status, code and words of the answer.
DOORS = {
    "an unknown path": (_asked("/admin/nope/nothing"), 404, "not_found", "There is nothing here", "look for the row"),
    "an unknown path outside of the site's": (_asked("/admin/%F0"), 404, "not_found", "There is nothing here"),
    "a row that is not there": (_asked(f"{ITEMS}999/receive/"), 404, "not_found", "There is nothing here"),
    "a page without the right": (_no_right, 403, "permission_denied", "Ask a superuser", "Users, Access"),
    "a form without its token": (_without_token, 403, "csrf_failed", "so nothing was done", "Open the form again"),
    "a method": (
        lambda client, mug, settings, **extra: client.delete(f"{ITEMS}{mug.id}/receive/", **extra),
        405, "method_not_allowed", "Use the button",
    ),
    "signing out by address": (_asked("/admin/logout/"), 405, "method_not_allowed", "Use the button"),
    "a NUL": (_asked("/admin/?x=%00"), 400, "invalid", "No NUL is allowed here", "Go back"),
    "another host": (_asked("/admin/", host="evil.example"), 400, "invalid", "Go back"),
    "a lookup by hand": (_asked(f"{ITEMS}?stocks__product__sku=x"), 400, "invalid", "Go back"),
    "a broken upload": (_broken_upload, 400, "invalid", "Nothing was done"),
    "too many fields": (_many_fields, 400, "invalid", "1,000 parameters or fields"),
    "a field that is too large": (_large_field, 413, "payload_too_large", "2,621,440 bytes"),
    "a file that is too large": (_upload_too_large, 413, "payload_too_large", "bytes are taken"),
    "another charset": (_in_another_charset, 415, "unsupported_media_type", "UTF-8"),
    "a statement that took too long": (_planted("/admin/busy"), 503, "stock_busy", "Try again in a moment"),
    "a bug": (_planted("/admin/crash"), 500, "internal_error", "Tell whoever runs the shop", "reference in-the-log"),
    "a database that is gone": (_database_gone, 503, "database_unavailable", "Wait a moment"),
}  # fmt: skip


@pytest.mark.parametrize("door", DOORS)
def test_people_get_a_page_and_scripts_that_ask_for_it_the_problem(root, mug, settings, door):
    send, status, code, *said = DOORS[door]
    named = {"x-request-id": "in-the-log"}

    page = page_of(send(root, mug, settings, headers=named), status, *said)

    assert "planted" not in page
    problem_of(send(root, mug, settings, headers={**named, **JSON}), status, code)


def test_what_a_browser_says_that_it_takes_is_a_page(root):
    accept = "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8"
    for wanted in (accept, "*/*", "image/png"):
        page_of(root.get("/admin/nope", headers={"accept": wanted}), 404)


def test_headers_of_a_problem_are_those_of_its_page(root, mug, settings):
    assert root.delete(f"{ITEMS}{mug.id}/receive/").headers["Allow"] == "GET, POST, PUT, HEAD, OPTIONS"
    assert _database_gone(root, mug, settings).headers["Retry-After"] == "1"


def test_a_database_that_is_gone_is_said_to_whoever_signs_in(database):
    client = Client(raise_request_exception=False)
    given = {"username": "a@example.com", "password": "x"}
    page_of(without_database(lambda: client.post("/admin/login/", given)), 503, "Wait a moment")


def test_forms_that_are_refused_for_what_they_say_stay_forms(root, mug):
    refused = root.post(f"{ITEMS}{mug.id}/receive/", {"warehouse": "MAIN", "quantity": 0})
    assert (refused.status_code, 'name="quantity"' in refused.content.decode()) == (422, True)
    assert upload(root, "color\nred\n").status_code == 422


def test_too_many_logins_are_a_429_with_the_form_and_its_sentence(database, settings):
    settings.THROTTLE_LOGIN = read_rate("1/15m")
    given = {"username": "a@example.com", "password": "x"}
    answers = [Client().post("/admin/login/", given) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 429]
    assert "Too many failed logins" in answers[1].content.decode()
    assert 890 <= int(answers[1].headers["Retry-After"]) <= 900


def test_every_advice_has_its_door():
    met = {code for _, _, code, *_ in DOORS.values()}
    assert met == set(error_pages.ADVICE)


def test_elsewhere_problems_stay_problems(database):
    problem_of(Client().get("/administration", headers={"accept": "text/html"}), 404, "not_found")
