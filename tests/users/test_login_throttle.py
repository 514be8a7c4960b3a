"""Guessing at passwords: slow by account and by address, whichever door is knocked at, however many knock at once."""

import threading
from datetime import timedelta

import httpx
import pytest
from django.core import mail
from django.db import connection
from django.test import Client

from shop import tasks
from shop.toolkit.db import transactions
from shop.toolkit.rates import Rate
from tests import factories
from tests.conftest import counted_statements, fetch
from users import services as users

TOKEN = "/api/v1/auth/token"
NEW = "a quite different phrase"


@pytest.fixture(autouse=True)
def _three_guesses(settings) -> None:
    settings.THROTTLE_LOGIN = Rate(3, timedelta(minutes=15))


def knock(api, email: str, password: str = "wrong", **headers: str):
    return api.post(TOKEN, {"email": email, "password": password}, **headers)


def later(minutes: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE users_loginattempts SET ends_at = ends_at - %s * interval '1 minute'", [minutes])


@pytest.mark.parametrize("known", [True, False])
def test_after_so_many_failures_not_even_the_right_password_is_looked_at(api, known):
    email = factories.user().email if known else "nobody@example.com"
    assert [knock(api, email).status_code for _ in range(3)] == [401] * 3

    refused = knock(api, email.upper(), factories.PASSWORD)

    assert (refused.status_code, refused.json()["code"]) == (429, "throttled")
    assert 14 * 60 < int(refused.headers["retry-after"]) <= 15 * 60
    later(15)
    assert knock(api, email, factories.PASSWORD).status_code == (200 if known else 401)


def test_who_gets_in_counts_nothing(api):
    account = factories.user()
    for _ in range(10):
        assert knock(api, account.email, factories.PASSWORD).status_code == 200
    assert fetch("SELECT max(count) FROM users_loginattempts") == [(0,)]
    assert [knock(api, account.email).status_code for _ in range(2)] == [401] * 2
    assert knock(api, account.email, factories.PASSWORD).status_code == 200
    assert [knock(api, account.email).status_code for _ in range(2)] == [401, 429]


def test_an_address_that_tries_many_accounts_is_slowed_down(api):
    statuses = [knock(api, f"user{number}@example.net").status_code for number in range(31)]
    assert statuses == [401] * 30 + [429]
    account = factories.user()
    assert knock(api, account.email, factories.PASSWORD).status_code == 429
    elsewhere = knock(api, account.email, factories.PASSWORD, REMOTE_ADDR="192.0.2.7")
    assert elsewhere.status_code == 200


def test_an_address_that_is_refused_counts_against_no_account(api):
    for number in range(31):
        knock(api, f"user{number}@example.net")
    rows = fetch("SELECT count(*) FROM users_loginattempts")
    account = factories.user()
    assert {knock(api, account.email).status_code for _ in range(5)} == {429}
    assert fetch("SELECT count(*) FROM users_loginattempts") == rows
    assert knock(api, account.email, factories.PASSWORD, REMOTE_ADDR="192.0.2.7").status_code == 200


def test_others_guesses_do_not_lock_out_who_was_here_before(api):
    account = factories.user()
    knock(api, account.email, factories.PASSWORD, REMOTE_ADDR="192.0.2.1")
    for number in range(5):
        knock(api, account.email, REMOTE_ADDR=f"203.0.113.{number}")
    assert knock(api, account.email, factories.PASSWORD, REMOTE_ADDR="203.0.113.9").status_code == 429
    assert knock(api, account.email, factories.PASSWORD, REMOTE_ADDR="192.0.2.1").status_code == 200
    assert [knock(api, account.email, REMOTE_ADDR="192.0.2.1").status_code for _ in range(4)] == [401] * 3 + [429]


def test_a_made_up_forwarded_address_helps_nobody(api, settings):
    for number in range(30):
        knock(api, f"user{number}@example.net", HTTP_X_FORWARDED_FOR=f"10.0.0.{number}")
    assert knock(api, "x@example.net", HTTP_X_FORWARDED_FOR="10.9.9.9").status_code == 429

    settings.TRUSTED_PROXIES = 1  # then the last address is the proxy's word, and those before it the client's
    for number in range(30):
        knock(api, f"who{number}@example.net", HTTP_X_FORWARDED_FOR=f"10.0.0.{number}, 192.0.2.1")
    assert knock(api, "x@example.net", HTTP_X_FORWARDED_FOR="10.9.9.9, 192.0.2.1").status_code == 429
    assert knock(api, "x@example.net", HTTP_X_FORWARDED_FOR="10.9.9.9, 192.0.2.2").status_code == 401


def test_the_admin_counts_the_same_failures(api):
    account = factories.user(is_staff=True)
    door = {"username": account.email, "password": "wrong", "next": "/admin/"}
    browser = Client()
    assert "enter the correct email" in browser.post("/admin/login/", door).content.decode()
    knock(api, account.email)
    browser.post("/admin/login/", door)

    refused = browser.post("/admin/login/", {**door, "password": factories.PASSWORD})

    assert "Too many failed logins" in refused.content.decode()
    assert knock(api, account.email, factories.PASSWORD).status_code == 429
    later(15)
    assert browser.post("/admin/login/", {**door, "password": factories.PASSWORD}).status_code == 302


def test_the_staffs_password_page_counts_guesses_too_and_tells_the_owner(api):
    account = factories.user(is_staff=True)
    browser = Client()
    browser.login(email=account.email, password=factories.PASSWORD)
    form = {"old_password": "wrong", "new_password1": NEW, "new_password2": NEW}
    for _ in range(3):
        page = browser.post("/admin/password_change/", form)
        assert "old password was entered incorrectly" in page.content.decode()
    refused = browser.post("/admin/password_change/", {**form, "old_password": factories.PASSWORD})
    assert "Too many failed logins" in refused.content.decode()
    later(15)
    long = browser.post("/admin/password_change/", {**form, "old_password": "x" * 129})
    assert "at most 128 characters" in long.content.decode()

    done = browser.post("/admin/password_change/", {**form, "old_password": factories.PASSWORD})

    assert done.headers["location"] == "/admin/password_change/done/"
    assert browser.get("/admin/").status_code == 200  # who changed it stays in
    tasks.send_mails()
    assert [message.subject for message in mail.outbox] == ["Your password was changed"]


@pytest.mark.alone
@pytest.mark.argon2  # the server is a process with hashers of its own
def test_of_parallel_guesses_no_more_than_the_limit_are_judged(server):
    """The server's limit is its default of ten."""
    account = factories.user()
    barrier, statuses = threading.Barrier(16), []

    def guess(number: int) -> None:
        barrier.wait()
        body, status = {"email": account.email, "password": f"guess {number}"}, 503
        while status == 503:  # somebody else's is being hashed; it counts nothing
            status = httpx.post(f"{server}{TOKEN}", json=body, timeout=30).status_code
        statuses.append(status)

    threads = [threading.Thread(target=guess, args=[number]) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Who found the turn to hash taken stood against the account for a moment, perhaps in another's way.
    assert set(statuses) == {401, 429}
    assert statuses.count(401) <= 10


def test_off_is_off(api, settings):
    settings.THROTTLE_LOGIN = None
    account = factories.user()
    assert {knock(api, account.email).status_code for _ in range(20)} == {401}
    assert knock(api, account.email, factories.PASSWORD).status_code == 200
    assert fetch("SELECT count(*) FROM users_loginattempts") == [(0,)]


def test_what_no_longer_counts_is_forgotten(api):
    knock(api, "a@example.net")
    assert transactions.run(users.clear_attempts) == 0
    later(15)
    assert transactions.run(users.clear_attempts) == 2


def test_known_and_unknown_accounts_take_the_same_statements(api):
    account, counts = factories.user(), []
    for email in (account.email, "nobody@example.com"):
        with counted_statements() as statements:
            knock(api, email)
        counts.append(len(statements))
    assert counts[0] == counts[1]


def test_the_table_tells_nobody_who_was_tried(api):
    knock(api, "anna@example.com")
    keys = [key for (key,) in fetch("SELECT key FROM users_loginattempts")]
    assert all(len(key) == 64 and "anna" not in key for key in keys)
