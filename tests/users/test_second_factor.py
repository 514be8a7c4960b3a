"""Where SECOND_FACTOR is on, staff need the code of their app as well, at both doors; customers do not."""

from datetime import timedelta

import pytest
from django.conf import settings as conf
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.test import Client
from django.utils import timezone
from django_otp.plugins.otp_totp.models import TOTPDevice

from shop.toolkit.rates import Rate
from tests import factories
from tests.conftest import fetch
from tests.inventory.imports import in_threads
from tests.users.second_factor import enrolled
from users import models, sessions
from users import services as users
from users.codes import digest_of

TOKEN = "/api/v1/auth/token"


@pytest.fixture
def boss(database):
    return factories.user(is_staff=True, is_superuser=True)


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


@pytest.mark.usefixtures("_on")
def test_a_login_page_is_told_that_a_code_is_missing_once_the_password_was_right(api, boss):
    enrolled(boss.email)
    login = {"email": boss.email, "password": factories.PASSWORD}
    said = {
        "nothing": api.post(TOKEN, login),
        "wrong password": api.post(TOKEN, {**login, "password": "wrong"}),
        "wrong code": api.post(TOKEN, {**login, "otp_code": "000000"}),
        "both wrong": api.post(TOKEN, {**login, "password": "wrong", "otp_code": "000000"}),
    }
    assert {name: answer.json()["code"] for name, answer in said.items()} == {
        "nothing": "otp_required",
        "wrong password": "invalid_credentials",
        "wrong code": "invalid_credentials",
        "both wrong": "invalid_credentials",
    }
    assert {answer.status_code for answer in said.values()} == {401}
    browser = Client()
    page = browser.post("/admin/login/", {"username": boss.email, "password": factories.PASSWORD, "next": "/admin/"})
    assert "Enter the code of your authenticator app" in page.content.decode()


@pytest.mark.usefixtures("_on")
def test_wrong_codes_are_failed_logins_and_missing_ones_are_not(api, boss, settings):
    settings.THROTTLE_LOGIN = Rate(3, timedelta(minutes=15))
    enrolled(boss.email)
    login = {"email": boss.email, "password": factories.PASSWORD}
    assert {api.post(TOKEN, login).status_code for _ in range(5)} == {401}
    statuses = [api.post(TOKEN, {**login, "otp_code": "000000"}).status_code for _ in range(4)]
    assert statuses == [401] * 3 + [429]
    assert api.post(TOKEN, login).status_code == 429


@pytest.mark.usefixtures("_on")
def test_paper_codes_are_kept_as_hashes_of_one_device(api, boss):
    _, paper = enrolled(boss.email)
    _, others = enrolled(factories.user(is_staff=True).email)
    kept = [digest for (digest,) in fetch("SELECT digest FROM users_papercode")]
    assert len(kept) == len(set(kept)) == 20
    assert all(len(digest) == 64 for digest in kept)
    assert not [code for code in paper for digest in kept if code in digest]
    assert digest_of(1, paper[0]) != digest_of(2, paper[0])
    login = {"email": boss.email, "password": factories.PASSWORD}
    assert api.post(TOKEN, {**login, "otp_code": others[0]}).status_code == 401
    TOTPDevice.objects.update(throttling_failure_count=0, throttling_failure_timestamp=None)
    models.PaperDevice.objects.update(throttling_failure_count=0, throttling_failure_timestamp=None)
    assert api.post(TOKEN, {**login, "otp_code": paper[0].upper()}).status_code == 200


@pytest.mark.alone
@pytest.mark.usefixtures("_on")
def test_of_parallel_uses_of_one_paper_code_one_gets_through(boss):
    _, paper = enrolled(boss.email)

    def use() -> bool:
        given = {"email": boss.email, "password": factories.PASSWORD, "otp_code": paper[0]}
        while True:
            try:
                sessions.open_session(**given, address="", now=timezone.now())
            except users.HashingBusy:
                continue
            except users.InvalidCredentials:
                return False
            return True

    assert sorted(in_threads(use, times=4)) == [False, False, False, True]


@pytest.mark.usefixtures("_on")
def test_wrong_paper_codes_make_the_next_wait(api, boss):
    _, paper = enrolled(boss.email)
    login = {"email": boss.email, "password": factories.PASSWORD}
    for _ in range(3):
        api.post(TOKEN, {**login, "otp_code": "0" * 16})
    assert api.post(TOKEN, {**login, "otp_code": paper[0]}).status_code == 401


# The tables of django-otp's own codes, as they are in a database of the release before.
OF_BEFORE = """
CREATE TABLE otp_static_staticdevice (
    id serial PRIMARY KEY, name varchar(64) NOT NULL, confirmed boolean NOT NULL, user_id bigint NOT NULL,
    throttling_failure_timestamp timestamptz, throttling_failure_count integer NOT NULL, created_at timestamptz,
    last_used_at timestamptz
);
CREATE TABLE otp_static_statictoken (
    id serial PRIMARY KEY, token varchar(16) NOT NULL, device_id integer NOT NULL REFERENCES otp_static_staticdevice
);
"""


@pytest.fixture
def _as_before_the_hashes(database):
    MigrationExecutor(connection).migrate([("users", "0004_refresh_twice")])
    with connection.cursor() as cursor:
        cursor.execute(OF_BEFORE)
    yield
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE otp_static_statictoken, otp_static_staticdevice")
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())


@pytest.mark.usefixtures("_as_before_the_hashes", "_on")
def test_codes_of_before_are_hashed_and_still_good(api):
    boss = factories.user(is_staff=True)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO otp_static_staticdevice (id, name, confirmed, user_id, throttling_failure_count)"
            " VALUES (7, 'paper', true, %s, 0)",
            [boss.id],
        )
        cursor.execute("INSERT INTO otp_static_statictoken (token, device_id) VALUES ('abcdefgh', 7), ('ijklmnop', 7)")

    call_command("migrate", verbosity=0)

    assert fetch("SELECT count(*) FROM otp_static_statictoken") == [(0,)]
    login = {"email": boss.email, "password": factories.PASSWORD, "otp_code": "abcdefgh"}
    assert api.post(TOKEN, login).status_code == 200
    assert api.post(TOKEN, login).status_code == 401
    assert fetch("SELECT count(*) FROM users_papercode") == [(1,)]
    assert enrolled(boss.email)  # whose device gets a number that is free
