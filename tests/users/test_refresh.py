"""POST /auth/token/refresh: two tabs may ask at the same moment; a token that is older ends the whole login."""

from concurrent.futures import ThreadPoolExecutor

import httpx
import jwt
import pytest
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.utils import timezone
from procrastinate.contrib.django import app

from tests import factories
from tests.conftest import fetch
from tests.inventory.imports import in_threads
from users import accounts, sessions
from users import services as users

TOKEN, REFRESH = "/api/v1/auth/token", "/api/v1/auth/token/refresh"


def log_in(api, account) -> dict:
    return api.post(TOKEN, {"email": account.email, "password": factories.PASSWORD}).json()


def refreshed(api, tokens: dict):
    return api.post(REFRESH, {"refresh": tokens["refresh"]})


def opens(api, tokens: dict) -> bool:
    answer = api.get("/api/v1/users/me", headers={"authorization": f"Bearer {tokens['access']}"})
    assert answer.status_code in (200, 401)
    return answer.status_code == 200


def jti(tokens: dict) -> str:
    return jwt.decode(tokens["refresh"], options={"verify_signature": False})["jti"]


def later(seconds: float) -> None:
    """Have the refresh that came last be so much longer ago."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE users_session SET continued_at = continued_at - %s * interval '1 second'", [seconds])


def test_a_refresh_token_gives_the_next_pair(api):
    first = log_in(api, factories.user())
    second = refreshed(api, first).json()
    third = refreshed(api, second).json()
    assert len({jti(first), jti(second), jti(third)}) == 3
    assert opens(api, first)
    assert opens(api, third)


def test_asked_again_within_ten_seconds_it_gives_the_same_successor(api):
    first = log_in(api, factories.user())
    second = refreshed(api, first).json()
    later(9)
    again = refreshed(api, first)
    assert (again.status_code, jti(again.json())) == (200, jti(second))
    assert opens(api, again.json())
    assert refreshed(api, again.json()).status_code == 200


def test_asking_again_does_not_make_the_ten_seconds_longer(api):
    first = log_in(api, factories.user())
    refreshed(api, first)
    for _ in range(2):
        later(4)
        assert refreshed(api, first).status_code == 200
    later(4)
    assert refreshed(api, first).status_code == 401


@pytest.mark.parametrize("which", ["too late", "its successor was used", "older than the one before"])
def test_any_other_reuse_ends_the_family(api, which):
    first = log_in(api, factories.user())
    newest = refreshed(api, first).json()
    if which == "too late":
        later(10)
    else:
        newest = refreshed(api, newest).json()
    if which == "older than the one before":
        newest = refreshed(api, newest).json()

    reuse = refreshed(api, first)
    after = refreshed(api, newest)

    assert reuse.status_code == after.status_code == 401
    assert reuse.json()["code"] == after.json()["code"] == "invalid_token"
    assert not opens(api, first)
    assert not opens(api, newest)


def test_a_session_that_was_ended_gives_nothing_again(api):
    account = factories.user()
    first = log_in(api, account)
    second = refreshed(api, first).json()
    api.post("/api/v1/auth/logout", {"refresh": second["refresh"]})
    assert refreshed(api, first).status_code == refreshed(api, second).status_code == 401

    third = log_in(api, account)
    refreshed(api, third)
    accounts.end_all_sessions(account.id)
    assert refreshed(api, third).status_code == 401


@pytest.mark.alone
def test_threads_that_use_one_token_get_one_successor(database):
    account = factories.user()
    session = sessions.open_session(email=account.email, password=factories.PASSWORD, address="", now=timezone.now())

    def use() -> sessions.Session:
        return sessions.continue_session(session.id, refresh_id=session.refresh_id, now=timezone.now())

    found = in_threads(use, times=8)

    assert len({one.refresh_id for one in found}) == 1
    assert found[0].refresh_id != session.refresh_id
    assert fetch("SELECT ended_at IS NULL FROM users_session") == [(True,)]


@pytest.mark.alone
def test_of_threads_that_use_a_token_and_its_successor_the_family_ends_or_goes_on_as_one(database):
    """Whichever comes first: the older token never gives anything once the newer was used."""
    account = factories.user()
    for _ in range(5):
        first = sessions.open_session(email=account.email, password=factories.PASSWORD, address="", now=timezone.now())
        second = sessions.continue_session(first.id, refresh_id=first.refresh_id, now=timezone.now())
        tokens = iter([first.refresh_id, second.refresh_id] * 3)

        def use(session=first, tokens=tokens) -> object:
            try:
                return sessions.continue_session(session.id, refresh_id=next(tokens), now=timezone.now()).refresh_id
            except users.SessionEnded:
                return None

        given = set(in_threads(use, times=6)) - {None}
        # The successor again, as long as it was not used; its own successor, once.
        assert len(given - {second.refresh_id}) <= 1


@pytest.mark.alone
@pytest.mark.argon2  # the server is a process with hashers of its own
def test_of_twenty_tokens_sent_six_times_in_parallel_each_gives_one_successor(server):
    email = factories.user().email
    login = {"email": email, "password": factories.PASSWORD}
    tokens = [httpx.post(f"{server}{TOKEN}", json=login).json()["refresh"] for _ in range(20)]
    with ThreadPoolExecutor(24) as pool, httpx.Client(limits=httpx.Limits(max_connections=24), timeout=60) as client:
        sent = [
            (token, pool.submit(client.post, f"{server}{REFRESH}", json={"refresh": token}))
            for token in tokens
            for _ in range(6)
        ]
        given = [(token, answer.result()) for token, answer in sent]
    assert {answer.status_code for _, answer in given} == {200}
    successors = {token: {jti(answer.json()) for one, answer in given if one == token} for token in tokens}
    assert [len(found) for found in successors.values()] == [1] * 20


def test_sessions_that_are_over_are_forgotten_and_no_other(api):
    account = factories.user(is_staff=True)
    living, ended, expired = (log_in(api, account) for _ in range(3))
    api.post("/api/v1/auth/logout", {"refresh": ended["refresh"]})
    with connection.cursor() as cursor:
        sid = jwt.decode(expired["refresh"], options={"verify_signature": False})["sid"]
        cursor.execute("UPDATE users_session SET expires_at = now() - interval '1 s' WHERE id = %s", [sid])
    browsers = [Client(), Client()]
    for browser in browsers:
        assert browser.login(email=account.email, password=factories.PASSWORD)
    Session.objects.filter(pk=browsers[0].session.session_key).update(expire_date=timezone.now())

    app.configure_task("clear_sessions").defer(timestamp=0)
    call_command("work", "--once")

    assert fetch("SELECT count(*) FROM users_session") == [(1,)]
    assert opens(api, living)
    assert refreshed(api, ended).status_code == refreshed(api, expired).status_code == 401
    assert [row.session_key for row in Session.objects.all()] == [browsers[1].session.session_key]
