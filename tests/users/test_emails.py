"""Email addresses: which are taken, how they are kept, and that none of them costs a server its time, at any door."""

import json
import time
from collections.abc import Callable
from io import StringIO

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.test import Client

from shop.toolkit.db import transactions
from tests import factories
from tests.conftest import fetch
from users import services as users
from users.emails import canonical, lookup_spelling

CJK = "".join(map(chr, range(0x4E00, 0x4E00 + 4000)))
LONG = [
    f"a@x{CJK}",
    f"a@{CJK[:63]}.{CJK[:63]}.{CJK[:63]}.com",
    f"{'a' * 100_000}@example.com",
    "@" * 100_000,
    "." * 253,
]
SECONDS = 0.1  # of the processor; by Python's own codec the first takes seconds


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("  Anna@Example.COM ", "anna@example.com"),
        ("anna@Bücher.example", "anna@xn--bcher-kva.example"),
        ("anna@BÜCHER.example", "anna@xn--bcher-kva.example"),
        ("anna@XN--bcher-kva.example", "anna@xn--bcher-kva.example"),
        ("anna@straße.de", "anna@xn--strae-oqa.de"),
        ("anna@strasse.de", "anna@strasse.de"),
        ("anna@my--shop.example", "anna@my--shop.example"),
        ("a@ab--cd.example", "a@ab--cd.example"),
        (f"{'a' * 64}@example.com", f"{'a' * 64}@example.com"),
    ],
)
def test_an_address_has_one_spelling(given, kept):
    assert canonical(given) == lookup_spelling(given) == canonical(kept) == kept


@pytest.mark.parametrize(
    "given",
    [
        "", "@", "a", "a@", "@b.example", "a@b", "a@b..example", "a@b.example.", "a b@c.example",
        '"a b"@example.com', '"\x1ea"@example.com', "a\x1f@example.com", "a\n@example.com", "a@exa\nmple.com",
        "a@[127.0.0.1]", "a@[::1]", "a@127.0.0.1",
        "\u017f@example.com", "\u212aim@example.com", "ä@example.com", "a@exam\u202eple.com", "a@☃.example",
        "a@xn--zzzz.example", "a@\ud800.example", "a\uff20example.com",
        f"{'a' * 65}@example.com", f"a@{'b' * 64}.example", f"a@{'ü' * 60}.example", f"a@{'b.' * 126}com",
        *LONG,
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused_and_no_account_has_its_spelling(given):
    began = time.thread_time()
    with pytest.raises(ValidationError):
        canonical(given)
    spelling = lookup_spelling(given)
    assert time.thread_time() - began < SECONDS
    assert len(spelling) < 100
    assert "@" not in spelling


def seconds(work) -> float:
    began = time.thread_time()
    work()
    return time.thread_time() - began


@pytest.mark.parametrize("address", LONG)
def test_no_door_computes_with_an_address_before_it_is_known_to_be_short(api, customer, address):
    def doors(address: str) -> dict[str, Callable[[], object]]:
        body = {"password": factories.PASSWORD, "email": address}
        door = {"username": address, "password": "x", "next": "/admin/"}
        return {
            "register": lambda: api.post("/api/v1/users", body),
            "log in": lambda: api.post("/api/v1/auth/token", body),
            "forget": lambda: api.post("/api/v1/auth/password-reset", {"email": address}),
            "change": lambda: customer.patch("/api/v1/users/me", {"email": address}),
            "admin": lambda: Client().post("/admin/login/", door),
            "search": lambda: users.ids_by_email(address),
        }

    for knock in doors("nonsense").values():
        knock()  # the first takes longer: it loads what all of them need
    assert {name: taken for name, knock in doors(address).items() if (taken := seconds(knock)) > SECONDS} == {}


@pytest.mark.parametrize("address", [*LONG, '"a b"@example.com', "no address"])
def test_at_login_it_is_answered_like_a_wrong_password(api, address):
    wrong = api.post("/api/v1/auth/token", {"email": factories.user().email, "password": "wrong"})
    answer = api.post("/api/v1/auth/token", {"email": address, "password": "wrong"})
    assert (answer.status_code, answer.content) == (401, wrong.content)


@pytest.mark.argon2
def test_and_takes_as_long(api):
    email, taken = factories.user().email, {}
    for address in (email, LONG[0], LONG[2]) * 5:
        login = {"email": address, "password": "wrong"}
        taken.setdefault(address, []).append(seconds(lambda: api.post("/api/v1/auth/token", login)))  # noqa: B023
    assert min(taken[LONG[0]]) > min(taken[email]) / 2
    assert min(taken[LONG[2]]) > min(taken[email]) / 2


@pytest.mark.parametrize("address", ['"\u001ex"@example.com', "a@[10.0.0.1]", f"{'a' * 65}@example.com", LONG[0]])
def test_nobody_registers_with_it(api, address):
    body = {"email": address, "password": factories.PASSWORD, "name": "Q"}
    refused = api.post("/api/v1/users", json.dumps(body, ensure_ascii=False).encode())
    assert refused.status_code == 400
    assert {error["field"] for error in refused.json()["errors"]} == {"email"}
    assert fetch("SELECT count(*) FROM users_user") == [(0,)]


def test_the_commands_say_what_is_wrong_with_an_address(database):
    with pytest.raises(CommandError, match="There is no user"):
        call_command("second_factor", LONG[0], stdout=StringIO())
    with pytest.raises(CommandError, match="valid email"):
        call_command("createsuperuser", email='"a b"@example.com', interactive=False, stdout=StringIO())
    with pytest.raises(users.InvalidEmail):
        transactions.run(lambda: users.ensure_superuser(email=LONG[0], password=factories.PASSWORD))
