"""POST and GET /users, GET and PATCH /users/me, GET /users/{id}."""

import pytest

from tests import factories
from tests.conftest import fetch

ANNA = {"email": "Anna@Example.com", "password": factories.PASSWORD, "name": "Anna"}


def test_register_creates_a_customer_who_can_log_in(api):
    response = api.post("/api/v1/users", ANNA)

    assert response.status_code == 201
    account = response.json()
    assert set(account) == {"id", "email", "name", "is_staff", "is_active", "created_at"}
    assert (account["email"], account["name"], account["is_staff"]) == ("anna@example.com", "Anna", False)
    assert api.post("/api/v1/auth/token", {k: ANNA[k] for k in ("email", "password")}).status_code == 200


def test_an_address_in_another_case_is_the_same_address(api):
    api.post("/api/v1/users", ANNA)

    response = api.post("/api/v1/users", {**ANNA, "email": "ANNA@EXAMPLE.COM"})

    assert response.status_code == 409
    assert response.json()["code"] == "email_exists"
    assert fetch("SELECT count(*) FROM users_user") == [(1,)]


def test_an_international_domain_is_kept_as_dns_has_it(api):
    assert api.post("/api/v1/users", {**ANNA, "email": "Anna@Bücher.example"}).json()["email"] == (
        "anna@xn--bcher-kva.example"
    )
    login = {"email": "anna@bücher.example", "password": ANNA["password"]}
    assert api.post("/api/v1/auth/token", login).status_code == 200


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"email": "nonsense"}, "email"),
        ({"email": 5}, "email"),
        ({"email": "\u017f@example.com"}, "email"),
        ({"email": "a@" + ".".join(["ü" * 40] * 6) + ".com"}, "email"),
        ({"email": None}, "email"),
        ({"password": "12345678"}, "password"),
        ({"password": "short"}, "password"),
        ({"password": "x" * 129}, "password"),
        ({"name": "x" * 151}, "name"),
        ({"name": "a\x00b"}, "name"),
        ({"is_staff": True}, "is_staff"),
    ],
)
def test_a_wrong_registration_names_the_field(api, change, field):
    response = api.post("/api/v1/users", {**ANNA, **change})

    assert response.status_code == 400
    assert {error["field"] for error in response.json()["errors"]} == {field}
    assert fetch("SELECT count(*) FROM users_user") == [(0,)]


def test_ones_own_profile_is_shown_and_changed(customer):
    before = customer.get("/api/v1/users/me").json()

    after = customer.patch("/api/v1/users/me", {"name": "New name"}).json()

    assert after == {**before, "name": "New name"}
    assert customer.get("/api/v1/users/me").json() == after


def test_nobody_makes_themselves_staff(customer):
    assert customer.patch("/api/v1/users/me", {"is_staff": True}).status_code == 400
    assert fetch("SELECT count(*) FROM users_user WHERE is_staff") == [(0,)]


def test_the_list_is_for_staff_and_searches(api, customer, staff):
    anna = factories.user(email="anna@example.com")

    assert api.get("/api/v1/users").status_code == 401
    assert customer.get("/api/v1/users").status_code == 403
    assert [account["id"] for account in staff.get("/api/v1/users?search=ANNA").json()["results"]] == [anna.id]


def test_others_profiles_exist_for_staff_only(customer, staff):
    own, other = customer.get("/api/v1/users/me").json()["id"], factories.user().id

    assert customer.get(f"/api/v1/users/{own}").status_code == 200
    foreign, absent = customer.get(f"/api/v1/users/{other}"), customer.get("/api/v1/users/999999")
    assert foreign.status_code == absent.status_code == 404
    assert foreign.json()["code"] == absent.json()["code"] == "user_not_found"
    assert staff.get(f"/api/v1/users/{other}").json()["id"] == other
