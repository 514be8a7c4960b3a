"""Who may call what, and about whose rows: `permissions.txt`, cell by cell. A route that is not in it fails."""

import re
from contextlib import closing
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import URLPattern, URLResolver, get_resolver

from inventory.stock import warehouses
from shop.toolkit.callers import User
from tests import factories
from tests.shop.permission_matrix import (
    CALLS,
    ROLES,
    ROWS,
    V1,
    World,
    send,
    sent,
)
from users import models as user_models


@pytest.mark.parametrize(("method", "route", "whose", "cells"), ROWS, ids=[" ".join(row[:3]) for row in ROWS])
def test_each_role_gets_what_the_matrix_says(database, method, route, whose, cells):
    found = []
    for role in ROLES:
        with closing(send(World(role), method, route, whose)) as answer:
            found.append(str(answer.status_code))
    assert dict(zip(ROLES, found, strict=True)) == dict(zip(ROLES, cells, strict=True))


@pytest.mark.parametrize(
    ("method", "route"), sorted({(method, route) for method, route, whose, _ in ROWS if whose == "other"})
)
def test_anothers_row_and_none_are_the_same_to_a_customer(database, method, route):
    """But for the id, which they gave themselves."""
    world, answers = World("customer"), []
    for whose in ("other", "absent"):
        answer = send(world, method, route, whose)
        said = re.sub(r"[0-9a-f-]{36}|\b\d+\b", "ID", answer.content.decode())
        answers.append((answer.status_code, said))
    assert answers[0] == answers[1]
    assert answers[0][0] in (403, 404)


def _leave(world: World) -> None:
    user_models.User.objects.filter(pk=world.caller.id).update(is_staff=False, is_superuser=False)
    user_models.User.objects.get(pk=world.caller.id).groups.clear()


def _work_elsewhere(world: World) -> None:
    elsewhere = factories.warehouse(f"ELSEWHERE-{world.role}")
    warehouses.set_scope(world.caller.id, warehouses=[elsewhere.code], caller=User(world.other.id))


KEEP_NOTHING = ("/users/me", "/inventory/allocations/preview")
OTHERS_ROWS = [
    (method, route, whose)
    for method, route, whose, cells in ROWS
    if method != "GET" and whose not in ("own", "absent") and cells[0] == "401" and route not in KEEP_NOTHING
]


@pytest.mark.parametrize(("method", "route", "whose"), OTHERS_ROWS, ids=map(" ".join, OTHERS_ROWS))
@pytest.mark.parametrize(("role", "change"), [("admin", _leave), ("desk", _leave), ("manager", _work_elsewhere)])
def test_a_replayed_key_shows_nothing_that_its_caller_may_no_longer_see(
    database, settings, method, route, whose, role, change
):
    """But for what names no warehouse, to who still works, elsewhere."""
    settings.CUSTOMERS_MAY_CONFIRM = True  # else nobody without the permission reaches the kept answer
    world = World(role)
    path, body = CALLS[f"{method} {route}"](world, whose)
    first = sent(world, method, path, body, key="once")
    if first.status_code >= 300 or not first.content:
        return
    if isinstance(body, SimpleUploadedFile):
        body.seek(0)
    assert sent(world, method, path, body, key="once").content == first.content
    change(world)
    if isinstance(body, SimpleUploadedFile):
        body.seek(0)
    again = sent(world, method, path, body, key="once")
    names_a_place = '"warehouse' in first.content.decode() or "warehouses" in path or "reservations" in path
    if change is _leave or (names_a_place and not path.startswith(f"{V1}/orders")):
        assert again.status_code in (403, 404), (again.status_code, again.content)


def test_every_route_and_method_is_in_the_matrix():
    routes = set(_routes(get_resolver().url_patterns))
    assert {f"{method} {route}" for method, route, _, _ in ROWS} == routes
    assert set(CALLS) == routes
    about_rows = {f"{method} {route}" for method, route, whose, _ in ROWS if whose == "absent"}
    assert {route for route in routes if "<" in route} <= about_rows
    assert all(len(cells) == len(ROLES) for *_, cells in ROWS)


def _routes(patterns: Any, prefix: str = "") -> Any:
    for pattern in patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver) and not route.startswith("admin"):
            yield from _routes(pattern.url_patterns, route)
        elif isinstance(pattern, URLPattern) and (view := getattr(pattern.callback, "cls", None)):
            path = "/" + re.sub(r"<\w+:", "<", route.removeprefix("api/v1/"))
            yield from (f"{method} {path}" for method in getattr(view, "access", ()))
