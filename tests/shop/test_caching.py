"""Nothing that is somebody's may be kept by a browser or a proxy: every route, as everybody who may call it."""

from contextlib import closing

import pytest
from django.test import Client

from tests import factories
from tests.conformance import document
from tests.shop.permission_matrix import CALLS, ROWS, World, send

PUBLIC = {
    "GET /products", "GET /products/<product_id>", "GET /inventory/check", "GET /api/schema",
}  # fmt: skip
ROUTES = sorted({(method, route, whose) for method, route, whose, _ in ROWS})


def may_be_kept(answer) -> bool:
    told = answer.headers.get("Cache-Control", "")
    assert told in ("", "no-store")
    return told == ""


def varies_by(answer) -> set[str]:
    return {name.strip().lower() for name in answer.headers.get("Vary", "").split(",")}


@pytest.mark.parametrize(("method", "route", "whose"), ROUTES, ids=[" ".join(row) for row in ROUTES])
def test_an_answer_is_kept_only_where_everybody_may_read_it_without_a_token(database, method, route, whose):
    for role in ("anonymous", "customer", "admin"):
        with closing(send(World(role), method, route, whose)) as answer:
            expected = role == "anonymous" and f"{method} {route}" in PUBLIC
            assert (may_be_kept(answer), answer.status_code) == (expected, answer.status_code)
            assert {"authorization", "accept"} <= varies_by(answer)


def test_the_routes_are_those_of_the_document():
    documented = {
        f"{method.upper()} {path.removeprefix('/api/v1').replace('{', '<').replace('}', '>')}"
        for path, found in document()["paths"].items()
        for method in found
    }
    assert documented | {"GET /api/schema"} == set(CALLS)


def test_a_token_that_is_none_makes_a_public_read_private(api):
    refused = api.get("/api/v1/products", headers={"authorization": "Bearer x"})
    assert (refused.status_code, may_be_kept(refused)) == (401, False)


@pytest.mark.parametrize("path", ["/admin/", "/admin/login/", "/admin/users/user/", "/admin/password_change/"])
def test_the_staffs_pages_are_not_kept(database, path):
    account = factories.user(is_staff=True, is_superuser=True)
    signed_in = Client()
    assert signed_in.login(email=account.email, password=factories.PASSWORD)
    for browser in (signed_in, Client()):
        assert "no-store" in browser.get(path).headers["Cache-Control"]


@pytest.mark.parametrize("path", ["/", "/nowhere", "/healthz", "/metrics", "/api/v1/nowhere", "/api/v1/orders?a=%00"])
def test_whatever_else_is_answered_is_not_kept_either(api, path):
    assert "no-store" in api.get(path).headers["Cache-Control"]


def test_files_of_pages_are_kept(api):
    with closing(api.get("/static/shop/forms.js")) as answer:
        assert "max-age" in answer.headers["Cache-Control"]


def test_what_an_origin_is_told_varies_by_it_too(api, settings):
    place = settings.MIDDLEWARE.index("shop.toolkit.http.middleware.forbid_keeping") + 1
    cors = "corsheaders.middleware.CorsMiddleware"
    settings.MIDDLEWARE = [*settings.MIDDLEWARE[:place], cors, *settings.MIDDLEWARE[place:]]
    settings.CORS_ALLOWED_ORIGINS = ["https://front.example"]
    answer = api.get("/api/v1/products", headers={"origin": "https://front.example"})
    assert {"origin", "authorization", "accept"} <= varies_by(answer)
