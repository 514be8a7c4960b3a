"""POST /auth/token, /auth/token/refresh, /auth/logout, and what a token opens."""

import base64
import json
import time
from urllib.parse import urlencode

import jwt
import pytest
from django.test import Client
from django.utils import timezone

from shop.toolkit.callers import User
from tests import factories
from tests.conftest import fetch
from users import accounts, authentication, models, sessions
from users.authentication import RING, AccessToken, KeyRing, key_id

ABSENT = "00000000-0000-7000-8000-000000000000"


def log_in(client, account) -> dict:
    response = client.post("/api/v1/auth/token", {"email": account.email, "password": factories.PASSWORD})
    assert response.status_code == 200, response.content
    return response.json()


def me(client, access: str):
    return client.get("/api/v1/users/me", headers={"authorization": f"Bearer {access}"})


@pytest.mark.argon2
def test_log_in_gives_a_token_that_opens_the_profile(api):
    account = factories.user(email="Anna@Example.com")

    tokens = api.post("/api/v1/auth/token", {"email": "ANNA@example.com", "password": factories.PASSWORD}).json()

    assert set(tokens) == {"access", "refresh"}
    assert me(api, tokens["access"]).json()["id"] == account.id
    assert fetch("SELECT password LIKE 'argon2%%' FROM users_user") == [(True,)]


def test_wrong_password_unknown_email_and_inactive_account_answer_the_same(api):
    account, inactive = factories.user(), factories.user()
    models.User.objects.filter(pk=inactive.id).update(is_active=False)

    answers = [
        api.post("/api/v1/auth/token", {"email": email, "password": password})
        for email, password in (
            (account.email, "wrong"),
            ("nobody@example.com", factories.PASSWORD),
            (inactive.email, factories.PASSWORD),
        )
    ]

    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1
    assert answers[0].json()["code"] == "invalid_credentials"


def test_log_out_ends_the_family(api):
    account = factories.user()
    tokens = log_in(api, account)

    others = log_in(api, account)
    assert api.post("/api/v1/auth/logout", {"refresh": tokens["refresh"]}).status_code == 204
    assert me(api, tokens["access"]).status_code == 401  # at once, not in five minutes
    assert me(api, others["access"]).status_code == 200  # another login is another family
    assert api.post("/api/v1/auth/logout", {"refresh": tokens["refresh"]}).status_code == 204
    assert api.post("/api/v1/auth/token/refresh", {"refresh": tokens["refresh"]}).status_code == 401


def test_a_new_password_ends_every_token(api):
    account = factories.user()
    tokens = log_in(api, account)

    changed = api.patch(
        "/api/v1/users/me",
        {"password": "a quite different phrase", "current_password": factories.PASSWORD},
        headers={"authorization": f"Bearer {tokens['access']}"},
    )

    assert changed.status_code == 200
    assert me(api, tokens["access"]).status_code == 401
    assert api.post("/api/v1/auth/token/refresh", {"refresh": tokens["refresh"]}).status_code == 401
    assert api.post("/api/v1/auth/token", {"email": account.email, "password": factories.PASSWORD}).status_code == 401


def test_a_password_changed_in_the_admin_ends_every_token_too(api):
    account = factories.user(is_staff=True, is_superuser=True)
    tokens = log_in(api, account)
    assert api.login(email=account.email, password=factories.PASSWORD)
    new = "a quite different phrase"
    form = {"old_password": factories.PASSWORD, "new_password1": new, "new_password2": new}

    response = api.generic("POST", "/admin/password_change/", urlencode(form), "application/x-www-form-urlencoded")

    assert response.headers["location"] == "/admin/password_change/done/"
    assert me(api, tokens["access"]).status_code == 401
    assert api.post("/api/v1/auth/token/refresh", {"refresh": tokens["refresh"]}).status_code == 401


def test_a_deactivated_account_is_out_at_once(api):
    account = factories.user()
    tokens = log_in(api, account)
    models.User.objects.filter(pk=account.id).update(is_active=False)

    assert me(api, tokens["access"]).status_code == 401
    assert api.post("/api/v1/auth/token/refresh", {"refresh": tokens["refresh"]}).status_code == 401


def test_an_account_that_is_switched_on_again_has_none_of_its_old_tokens(api):
    account = factories.user(is_staff=True)
    tokens = log_in(api, account)
    browser = Client()
    browser.login(email=account.email, password=factories.PASSWORD)
    assert browser.get("/admin/").status_code == 200
    boss = factories.user(is_staff=True, is_superuser=True)
    for is_active in (False, True):
        accounts.set_access(
            account.id, is_active=is_active, is_staff=True, is_superuser=False, groups=[], caller=User(boss.id)
        )
    assert browser.get("/admin/").status_code == 302

    assert me(api, tokens["access"]).status_code == 401
    assert api.post("/api/v1/auth/token/refresh", {"refresh": tokens["refresh"]}).status_code == 401
    assert me(api, log_in(api, account)["access"]).status_code == 200


def test_ending_all_sessions_ends_access_and_refresh_tokens(api):
    account = factories.user()
    tokens = log_in(api, account)

    accounts.end_all_sessions(account.id)

    assert me(api, tokens["access"]).status_code == 401
    assert api.post("/api/v1/auth/token/refresh", {"refresh": tokens["refresh"]}).status_code == 401


def _signed(**claims) -> str:
    token = AccessToken()
    for name, value in claims.items():
        token[name] = value
    return str(token)


def _unsigned() -> str:
    def part(value: dict) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': 'none', 'typ': 'JWT'})}.{part({'user_id': 1, 'stamp': 'x', 'token_type': 'access'})}."


@pytest.mark.parametrize(
    "header",
    [
        "Bearer",
        "Bearer ",
        "Bearer a b",
        "Bearer x.y.z",
        "Bearer ÄÖÜ",
        lambda: f"Bearer {_unsigned()}",
        lambda: f"Bearer {_signed(sid='abc', stamp='x')}",
        lambda: f"Bearer {_signed(sid=True, stamp='x')}",
        lambda: f"Bearer {_signed(sid=2**80, stamp='x')}",
        lambda: f"Bearer {_signed(sid=ABSENT, stamp='x')}",
        lambda: f"Bearer {_signed(stamp='x')}",
        lambda: f"Bearer {_signed(sid=ABSENT)}",
    ],
)
def test_a_malformed_or_foreign_token_is_a_401_even_where_none_is_needed(api, header):
    value = header() if callable(header) else header

    for path in ("/api/v1/users/me", "/api/v1/products"):
        response = api.get(path, headers={"authorization": value})
        assert response.status_code == 401
        assert response.json()["code"] == "invalid_token"
        assert response.headers["www-authenticate"] == "Bearer"


def test_a_refresh_token_is_no_access_token_and_the_other_way_round(api):
    tokens = log_in(api, factories.user())

    assert me(api, tokens["refresh"]).status_code == 401
    assert api.post("/api/v1/auth/token/refresh", {"refresh": tokens["access"]}).status_code == 401
    assert api.post("/api/v1/auth/token/refresh", {"refresh": "nonsense"}).status_code == 401


def header_of(token: str) -> dict:
    return jwt.get_unverified_header(token)


def test_a_key_that_was_replaced_is_read_until_it_is_taken_away(api, monkeypatch):
    account = factories.user()
    old = log_in(api, account)
    first = RING.first
    new = "a-new-key-a-new-key-a-new-key-a-new-key"

    def use(*keys: str) -> None:
        ring = KeyRing(list(keys))
        for kind in (authentication.AccessToken, authentication.RefreshToken):
            monkeypatch.setattr(kind, "token_backend", ring)
        authentication.claims_of.cache_clear()  # other keys come with another process

    use(new, first)
    young = log_in(api, account)
    assert header_of(young["access"])["kid"] == key_id(new) != header_of(old["access"])["kid"]
    assert me(api, old["access"]).status_code == me(api, young["access"]).status_code == 200
    assert api.post("/api/v1/auth/token/refresh", {"refresh": old["refresh"]}).status_code == 200
    use(new)
    assert me(api, old["access"]).status_code == 401
    assert me(api, young["access"]).status_code == 200


def _foreign(**changed) -> str:
    """A token that is signed with our key but is not quite ours."""
    claims = {
        "token_type": "access",
        "jti": "x",
        "sid": ABSENT,
        "stamp": "x",
        "sub": "1",
        "iss": "shop",
        "aud": "shop-api",
    }
    claims["exp"] = int(time.time()) + 60
    headers = {"kid": changed.pop("kid", key_id(RING.first))}
    key = changed.pop("key", RING.first)
    algorithm = changed.pop("algorithm", "HS256")
    claims = {name: value for name, value in {**claims, **changed}.items() if value is not None}
    return jwt.encode(claims, key, algorithm, headers={name: kid for name, kid in headers.items() if kid is not None})


FOREIGN = [
    {"iss": "elsewhere"},
    {"iss": None},
    {"aud": "another-api"},
    {"aud": None},
    {"exp": 1},
    {"exp": None},
    {"exp": "soon"},
    {"kid": "no-such-key"},
    {"kid": None},
    {"key": "another-key-another-key-another-key-another-key"},
    {"algorithm": "HS384"},
    {"token_type": "refresh"},
    {"sid": None},
    {"sid": 7},
    {"sid": "abc"},
    {"stamp": None},
    {"stamp": ["x"]},
    {"sub": 7},
]


@pytest.mark.parametrize("changed", FOREIGN)
def test_a_token_that_is_not_quite_ours_is_a_401(api, changed):
    account = factories.user()
    session = sessions.open_session(email=account.email, password=factories.PASSWORD, address="", now=timezone.now())
    good = {"sid": str(session.id), "stamp": session.token_stamp, "sub": str(account.id)}
    assert me(api, _foreign(**good)).status_code == 200

    refused = me(api, _foreign(**{**good, **changed}))

    assert (refused.status_code, refused.json()["code"]) == (401, "invalid_token")
    assert (
        api.get("/api/v1/products", headers={"authorization": f"Bearer {_foreign(**{**good, **changed})}"}).status_code
        == 401
    )


def test_a_token_that_was_good_is_refused_once_it_has_expired(api, monkeypatch):
    access = log_in(api, factories.user())["access"]
    assert me(api, access).status_code == 200
    in_five_minutes = time.time() + 5 * 60
    monkeypatch.setattr(authentication.time, "time", lambda: in_five_minutes)
    assert me(api, access).status_code == 401
