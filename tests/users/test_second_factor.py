"""Where SECOND_FACTOR is on, staff need the code of their app as well, at both doors; customers do not."""

from io import StringIO

import pytest
from django.conf import settings as conf
from django.core.management import CommandError, call_command
from django.test import Client
from django_otp.oath import TOTP
from django_otp.plugins.otp_totp.models import TOTPDevice

from tests import factories
from tests.conftest import fetch

TOKEN = "/api/v1/auth/token"


@pytest.fixture
def _on(settings) -> None:
    settings.SECOND_FACTOR = True
    place = settings.MIDDLEWARE.index("shop.toolkit.middleware.PageUsers") + 1
    settings.MIDDLEWARE = [
        *settings.MIDDLEWARE[:place],
        "django_otp.middleware.OTPMiddleware",
        *settings.MIDDLEWARE[place:],
    ]


@pytest.fixture
def boss(database):
    return factories.user(is_staff=True, is_superuser=True)


def enrolled(email: str) -> tuple[str, list[str]]:
    """Return the code that their app shows now, and those on paper."""
    said = StringIO()
    call_command("second_factor", email, stdout=said)
    lines = said.getvalue().splitlines()
    assert any(line.startswith("otpauth://totp/Shop") for line in lines)
    return code_of(email), [line.strip() for line in lines if line.startswith("  ") and line.strip().isalnum()]


def code_of(email: str) -> str:
    device = TOTPDevice.objects.get(user__email=email)
    return f"{TOTP(device.bin_key).token():06}"


def door(account, code: str) -> Client:
    browser = Client()
    browser.post(
        "/admin/login/",
        {"username": account.email, "password": factories.PASSWORD, "otp_code": code, "next": "/admin/"},
    )
    return browser


def test_off_by_default_nobody_is_asked(api, boss):
    assert conf.SECOND_FACTOR is False
    assert "authenticator" not in Client().get("/admin/login/").content.decode()
    assert api.post(TOKEN, {"email": boss.email, "password": factories.PASSWORD}).status_code == 200
    assert door(boss, "").get("/admin/").status_code == 200


@pytest.mark.usefixtures("_on")
def test_the_admin_opens_with_the_code_alone(boss):
    assert "authenticator" in Client().get("/admin/login/").content.decode()
    code, _ = enrolled(boss.email)
    for wrong in ("", "000000", "abc"):
        assert door(boss, wrong).get("/admin/").status_code == 302
    TOTPDevice.objects.update(throttling_failure_count=0, throttling_failure_timestamp=None)
    assert door(boss, code).get("/admin/").status_code == 200
    assert door(boss, code).get("/admin/").status_code == 302  # a code is good once


@pytest.mark.usefixtures("_on")
def test_a_session_without_the_code_is_not_let_in(boss):
    browser = Client()
    browser.login(email=boss.email, password=factories.PASSWORD)
    assert browser.get("/admin/").headers["location"].startswith("/admin/login/")


@pytest.mark.usefixtures("_on")
def test_staff_tokens_need_it_too_and_customers_do_not(api, boss):
    login = {"email": boss.email, "password": factories.PASSWORD}
    without = api.post(TOKEN, login)
    code, paper = enrolled(boss.email)
    assert (without.status_code, without.json()["code"]) == (401, "otp_required")
    assert api.post(TOKEN, {**login, "otp_code": code}).status_code == 200
    assert len(paper) == 10
    assert api.post(TOKEN, {**login, "otp_code": paper[0]}).status_code == 200
    assert api.post(TOKEN, {**login, "otp_code": paper[0]}).status_code == 401

    customer = factories.user()
    assert api.post(TOKEN, {"email": customer.email, "password": factories.PASSWORD}).status_code == 200


def test_switching_it_on_ends_the_tokens_that_staff_got_without(api, boss, request):
    staff, customer = factories.client(boss), factories.client(factories.user())
    assert staff.get("/api/v1/users/me").status_code == 200
    request.getfixturevalue("_on")
    assert staff.get("/api/v1/users/me").status_code == 401
    assert customer.get("/api/v1/users/me").status_code == 200


@pytest.mark.usefixtures("_on")
def test_a_new_one_takes_the_old_ones_place(api, boss):
    old, old_paper = enrolled(boss.email)
    inside = api.post(TOKEN, {"email": boss.email, "password": factories.PASSWORD, "otp_code": old_paper[1]}).json()
    enrolled(boss.email)
    assert api.get("/api/v1/users/me", headers={"authorization": f"Bearer {inside['access']}"}).status_code == 401
    assert api.post(f"{TOKEN}/refresh", {"refresh": inside["refresh"]}).status_code == 401
    login = {"email": boss.email, "password": factories.PASSWORD}
    for code in (old, old_paper[0]):
        assert api.post(TOKEN, {**login, "otp_code": code}).status_code == 401
    assert fetch("SELECT count(*) FROM otp_totp_totpdevice") == [(1,)]


def test_nobody_reads_anothers_second_factor_in_the_admin(boss):
    enrolled(boss.email)
    browser = Client()
    browser.login(email=boss.email, password=factories.PASSWORD)
    assert browser.get("/admin/otp_totp/totpdevice/").status_code == 404
    assert browser.get("/admin/users/paperdevice/").status_code == 404


def test_an_unknown_address_is_told(database):
    with pytest.raises(CommandError, match="There is no user nobody@"):
        call_command("second_factor", "nobody@example.com")
