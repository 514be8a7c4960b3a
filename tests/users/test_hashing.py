"""Hashing never stops the shop: one thread of a process at a time, and who would wait is told so."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.test import Client

from shop.toolkit.rates import Rate
from tests import factories
from tests.conftest import fetch
from tests.users.reset_mails import asked
from users import accounts, hashing
from users import services as users

pytestmark = pytest.mark.argon2

TOKEN, ME, USERS = "/api/v1/auth/token", "/api/v1/users/me", "/api/v1/users"
NEW = "a quite different phrase"


@contextmanager
def somebody_hashing(turn=hashing.turn):
    """Have another thread take the turn to hash."""
    taken, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with turn():
            taken.set()
            leave.wait(30)

    other = threading.Thread(target=hold)
    other.start()
    taken.wait(5)
    try:
        yield
    finally:
        leave.set()
        other.join()


@pytest.fixture(autouse=True)
def _rested(monkeypatch) -> None:
    monkeypatch.setattr(hashing._turn, "registrations_pause_until", 0.0)


def registration(number: int = 0) -> dict[str, str]:
    return {"email": f"new{number}@example.com", "password": NEW, "name": "New"}


def test_every_door_that_hashes_answers_503_and_counts_nothing(api):
    account = factories.user(is_staff=True)
    mine = factories.client(account)
    reset = asked(api, account.email)
    doors = {
        "log in": lambda: api.post(TOKEN, {"email": account.email, "password": factories.PASSWORD}),
        "guess": lambda: api.post(TOKEN, {"email": account.email, "password": "wrong"}),
        "unknown": lambda: api.post(TOKEN, {"email": "nobody@example.com", "password": "wrong"}),
        "register": lambda: api.post(USERS, registration()),
        "change": lambda: mine.patch(ME, {"password": NEW, "current_password": factories.PASSWORD}),
        "reset": lambda: api.post("/api/v1/auth/password-reset/confirm", {"token": reset, "password": NEW}),
    }
    before = fetch("SELECT key, count FROM users_loginattempts ORDER BY key")
    with somebody_hashing():
        answers = {name: knock() for name, knock in doors.items()}
    assert {(a.status_code, a.json()["code"]) for a in answers.values()} == {(503, "busy")}
    assert {a.headers["retry-after"] for a in answers.values()} <= {"1", "2", "3"}
    assert fetch("SELECT key, count FROM users_loginattempts ORDER BY key") == before
    del doors["reset"]  # its token ends with the password that is set before it
    assert {name: knock().status_code for name, knock in doors.items()} == {
        "log in": 200, "guess": 401, "unknown": 401, "register": 201, "change": 200,
    }  # fmt: skip


def test_the_staffs_pages_say_so(api):
    account = factories.user(is_staff=True)
    door = {"username": account.email, "password": factories.PASSWORD, "next": "/admin/"}
    browser = Client()
    with somebody_hashing():
        page = browser.post("/admin/login/", door)
    assert (page.status_code, "Try again in a moment" in page.content.decode()) == (200, True)
    assert browser.post("/admin/login/", door).status_code == 302
    form = {"old_password": factories.PASSWORD, "new_password1": NEW, "new_password2": NEW}
    with somebody_hashing():
        page = browser.post("/admin/password_change/", form)
    assert (page.status_code, "Try again in a moment" in page.content.decode()) == (200, True)
    assert browser.post("/admin/password_change/", form).headers["location"] == "/admin/password_change/done/"


@pytest.mark.alone
def test_nobody_waits_for_the_turn(api):
    account = factories.user()
    with somebody_hashing(), ThreadPoolExecutor(4) as pool:
        began = time.perf_counter()
        found = [pool.submit(lambda: _hashed(account)) for _ in range(4)]
        assert {one.result() for one in found} == {"busy"}
        assert time.perf_counter() - began < 1


def _hashed(account) -> str:
    from django.contrib.auth.hashers import make_password  # noqa: PLC0415

    try:
        make_password(account.email)
    except users.HashingBusy:
        return "busy"
    return "hashed"


@pytest.mark.alone
def test_of_many_threads_one_hashes_at_a_time(database, monkeypatch):
    inside, most = [], []
    encode = hashing.Argon2PasswordHasher.encode

    def watched(self, password, salt):
        inside.append(1)
        most.append(len(inside))
        try:
            return encode(self, password, salt)
        finally:
            inside.pop()

    monkeypatch.setattr(hashing.Argon2PasswordHasher, "encode", watched)
    with ThreadPoolExecutor(8) as pool:
        found = [one.result() for one in [pool.submit(_hashed, accounts.User(1, "a", "", False, False, None))
                                          for _ in range(40)]]  # fmt: skip
    assert "hashed" in found
    assert max(most) == 1


def test_a_login_that_a_registration_was_in_the_way_of_finds_the_turn_when_it_comes_again(api, monkeypatch):
    account = factories.user()
    login = {"email": account.email, "password": factories.PASSWORD}
    with somebody_hashing(hashing.registration_turn):
        assert api.post(TOKEN, login).status_code == 503

    resting = api.post(USERS, registration())

    assert (resting.status_code, resting.json()["code"]) == (503, "busy")
    assert api.post(TOKEN, login).status_code == 200
    later = time.monotonic() + hashing.LONGEST_WAIT
    monkeypatch.setattr(hashing.time, "monotonic", lambda: later)
    assert api.post(USERS, registration()).status_code == 201


def test_registrations_that_come_together_rest_after_each(api):
    began = time.monotonic()
    with somebody_hashing(hashing.registration_turn):
        assert api.post(USERS, registration()).status_code == 503
        time.sleep(0.3)
    took = time.monotonic() - began
    assert api.post(USERS, registration()).status_code == 503
    assert 0 < hashing._turn.registrations_pause_until - began - took < took
    time.sleep(took)
    assert api.post(USERS, registration()).status_code == 201


def test_one_registration_after_the_other_is_not_refused(api):
    assert [api.post(USERS, registration(number)).status_code for number in range(4)] == [201] * 4


def test_registrations_of_an_address_are_limited_before_they_are_hashed(api, settings, monkeypatch):
    settings.THROTTLE_REGISTER = Rate(3, timedelta(minutes=15))
    statuses = []
    for number in range(4):
        statuses.append(api.post(USERS, registration(number)))
    assert [answer.status_code for answer in statuses] == [201] * 3 + [429]
    assert (statuses[3].json()["code"], int(statuses[3].headers["retry-after"]) > 600) == ("throttled", True)

    monkeypatch.setattr(hashing.OneAtATime, "encode", lambda *_: pytest.fail("it is hashed"))
    assert api.post(USERS, registration(5)).status_code == 429
    monkeypatch.undo()
    assert api.post(USERS, registration(5), REMOTE_ADDR="192.0.2.7").status_code == 201
    settings.THROTTLE_REGISTER = None
    assert api.post(USERS, registration(6)).status_code == 201


def test_what_is_refused_for_its_form_counts_nothing(api):
    for body in ({**registration(), "password": "12345"}, {**registration(), "email": "nonsense"}):
        assert api.post(USERS, body).status_code == 400
    assert fetch("SELECT count(*) FROM users_loginattempts") == [(0,)]


def test_with_an_idempotency_key_a_registration_is_hashed_and_counted_once(api, monkeypatch):
    key = {"idempotency-key": "r-1"}
    first = api.post(USERS, registration(), headers=key)
    monkeypatch.setattr(hashing.OneAtATime, "encode", lambda *_: pytest.fail("it is hashed again"))
    again = api.post(USERS, registration(), headers=key)
    assert (first.status_code, again.status_code, again.content) == (201, 201, first.content)
    assert fetch("SELECT count FROM users_loginattempts") == [(1,)]


def test_a_hash_of_other_parameters_is_renewed_at_login(api):
    account = factories.user()
    old = hashing.Argon2PasswordHasher().encode(factories.PASSWORD, "somesaltsomesaltsomesa")
    fetch("UPDATE users_user SET password = %s RETURNING 1", old)
    assert api.post(TOKEN, {"email": account.email, "password": factories.PASSWORD}).status_code == 200
    ((kept,),) = fetch("SELECT password FROM users_user")
    assert "m=19456,t=2,p=1" in kept
    assert api.post(TOKEN, {"email": account.email, "password": factories.PASSWORD}).status_code == 200


def test_nothing_of_the_database_is_held_while_a_password_is_hashed(api, monkeypatch):
    from django.db import connection  # noqa: PLC0415

    account = factories.user()
    mine, reset = factories.client(account), asked(api, account.email)
    seen = []
    encode = hashing.OneAtATime.encode

    def watched(self, password, salt):
        seen.append(connection.in_atomic_block)
        return encode(self, password, salt)

    monkeypatch.setattr(hashing.OneAtATime, "encode", watched)
    api.post(USERS, registration(), headers={"idempotency-key": "k"})
    mine.patch(ME, {"password": NEW, "current_password": factories.PASSWORD})
    api.post("/api/v1/auth/password-reset/confirm", {"token": asked(api, factories.user().email), "password": NEW})
    api.post(TOKEN, {"email": "nobody@example.com", "password": "x"})
    assert reset
    assert len(seen) == 5  # and once for the account that was made meanwhile
    assert seen.count(True) == 0
