"""Who may call what, and about whose rows: `permissions.txt`, cell by cell. A route that is not in it fails."""

import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import Group
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from inventory import services as inventory
from inventory.stock import warehouses
from orders import lifecycle
from products import services as products
from shop.toolkit import transactions
from shop.toolkit.callers import SYSTEM, System, User
from tests import factories
from tests.inventory.imports import loaded
from tests.users.test_password_reset import NEW
from users import accounts, changes, resets
from users import models as user_models
from users import services as users

MATRIX = Path(__file__).with_name("permissions.txt")
GROUPS = {
    "viewer": "Inventory viewer",
    "clerk": "Inventory clerk",
    "manager": "Inventory manager",
    "catalogue": "Catalogue manager",
    "desk": "Order desk",
    "payments": "Payments",
}
STOCKED = {"initial_stock": [{"warehouse": "MAIN", "quantity": 1}]}
ABSENT_ID, ABSENT_UUID = 999_999, UUID("00000000-0000-7000-8000-000000000000")


def read_matrix() -> tuple[list[str], list[tuple[str, str, str, list[str]]]]:
    """Return the roles, and the rows: method, route, whose row it is about, an answer for each role."""
    lines = [line.split() for line in MATRIX.read_text().splitlines() if line.strip() and not line.startswith("#")]
    (_, _, _, *roles), *rows = lines
    return roles, [(method, route, whose, cells) for method, route, whose, *cells in rows]


ROLES, ROWS = read_matrix()


class World:
    """A shop with a row of each kind, and somebody who calls."""

    def __init__(self, role: str) -> None:
        self.role = role
        self.caller = self._caller()
        self.other = factories.user()
        self.product = factories.product(stock=20)

    def _caller(self) -> accounts.User | None:
        if self.role == "anonymous":
            return None
        account = factories.user(is_staff=self.role != "customer", is_superuser=self.role == "admin")
        groups = Group.objects.filter(name=GROUPS.get(self.role, ""))
        user_models.User.objects.get(pk=account.id).groups.set(groups)
        return account

    def order(self, whose: str, status: str = "pending") -> UUID:
        """Return an order of the caller or of somebody else, or the id of none."""
        if whose == "absent":
            return ABSENT_UUID
        buyer = self.caller if whose == "own" and self.caller else self.other
        made = factories.order(buyer, (self.product.id, 2))
        step = {"caller": System(buyer.id), "now": timezone.now()}
        if status in ("confirmed", "fulfilled"):
            transactions.run(lambda: lifecycle.confirm_order(made.id, payment_reference="", **step))
        if status == "fulfilled":
            transactions.run(
                lambda: lifecycle.fulfill_order(made.id, items=None, caller=System(buyer.id), now=timezone.now())
            )
        return made.id

    def user_id(self, whose: str) -> int:
        if whose == "absent":
            return ABSENT_ID
        return self.caller.id if whose == "own" and self.caller else self.other.id

    def product_id(self, whose: str) -> int:
        if whose == "archived":
            archived = factories.product(stock=1)
            transactions.run(lambda: products.archive_product(archived.id))
            return archived.id
        return ABSENT_ID if whose == "absent" else self.product.id

    def hold(self, whose: str) -> UUID:
        if whose == "absent":
            return ABSENT_UUID
        return factories.reservation((self.product.id, 1), owner="api").id

    def promise(self, whose: str) -> UUID:
        held = self.hold(whose)
        if whose != "absent":
            transactions.run(lambda: inventory.confirm(held, owner="api", caller=SYSTEM))
        return held

    def import_id(self, whose: str) -> UUID:
        return ABSENT_UUID if whose == "absent" else self._loaded()

    def _loaded(self) -> UUID:
        return loaded(f"sku,quantity\n{self.product.sku},30\nNONE,1\n", on_error="skip", again=True).id

    def file(self) -> SimpleUploadedFile:
        return SimpleUploadedFile("l.csv", f"sku,quantity\n{self.product.sku},7\n".encode())

    def warehouse(self, whose: str) -> str:
        return "NONE" if whose == "absent" else factories.warehouse(f"PLACE-{self.role}").code

    def refresh(self) -> str:
        login = {"email": self.other.email, "password": factories.PASSWORD}
        return Client().post("/api/v1/auth/token", login, content_type="application/json").json()["refresh"]

    def reset_token(self) -> str:
        transactions.run(lambda: resets.want_password_reset(email=self.other.email))
        mails = iter(lambda: transactions.run(lambda: users.take_mail(now=timezone.now())), None)
        return next(mail.token for mail in mails if mail.address == self.other.email)

    def change_token(self) -> str:
        proof = {"current_password": factories.PASSWORD, "address": "127.0.0.1"}
        approval = changes.approve_change(self.other.id, email=f"{self.role}@example.org", **proof)
        transactions.run(lambda: changes.update_profile(self.other.id, approval=approval))
        mails = iter(lambda: transactions.run(lambda: users.take_mail(now=timezone.now())), None)
        return next(mail.token for mail in mails if mail.address == f"{self.role}@example.org")


V1 = "/api/v1"
ITEMS, HOLDS, IMPORTS = (f"{V1}/inventory/{name}" for name in ("items", "reservations", "imports"))
Request = tuple[str, Any]
ADJUSTMENT = {"warehouse": "MAIN", "mode": "adjust", "quantity": 1, "reason": "found"}


def line(world: World, **more: Any) -> list[dict[str, Any]]:
    return [{"product_id": world.product.id, "quantity": 1, **more}]


def placed(world: World, whose: str) -> dict[str, Any]:
    return {"user_id": world.user_id(whose), "items": line(world, unit_price="9.90", total_price="9.90")}


# How each route is called about a row of that kind: its path, and a body that is right.
CALLS: dict[str, Callable[[World, str], Request]] = {
    "POST /auth/token": lambda w, whose: (f"{V1}/auth/token", {"email": w.other.email, "password": factories.PASSWORD}),
    "POST /auth/token/refresh": lambda w, whose: (f"{V1}/auth/token/refresh", {"refresh": w.refresh()}),
    "POST /auth/logout": lambda w, whose: (f"{V1}/auth/logout", {"refresh": w.refresh()}),
    "POST /auth/password-reset": lambda w, whose: (f"{V1}/auth/password-reset", {"email": w.other.email}),
    "POST /auth/password-reset/confirm": lambda w, whose: (
        f"{V1}/auth/password-reset/confirm", {"token": w.reset_token(), "password": NEW}
    ),
    "POST /auth/email-change/confirm": lambda w, whose: (
        f"{V1}/auth/email-change/confirm", {"token": w.change_token()}
    ),
    "GET /users": lambda w, whose: (f"{V1}/users", None),
    "POST /users": lambda w, whose: (f"{V1}/users", {"email": f"{w.role}@example.net", "password": NEW, "name": "New"}),
    "GET /users/me": lambda w, whose: (f"{V1}/users/me", None),
    "PATCH /users/me": lambda w, whose: (f"{V1}/users/me", {"name": "Else"}),
    "GET /users/<user_id>": lambda w, whose: (f"{V1}/users/{w.user_id(whose)}", None),
    "GET /products": lambda w, whose: (f"{V1}/products", None),
    "POST /products": lambda w, whose: (
        f"{V1}/products",
        {"sku": f"NEW-{w.role}", "name": "New", "price": "1.00", **(STOCKED if whose == "stock" else {})},
    ),
    "GET /products/<product_id>": lambda w, whose: (f"{V1}/products/{w.product_id(whose)}", None),
    "PATCH /products/<product_id>": lambda w, whose: (f"{V1}/products/{w.product_id(whose)}", {"name": "Else"}),
    "DELETE /products/<product_id>": lambda w, whose: (f"{V1}/products/{w.product_id(whose)}", None),
    "GET /inventory/check": lambda w, whose: (f"{V1}/inventory/check?product_id={w.product_id(whose)}", None),
    "POST /inventory/check": lambda w, whose: (
        f"{V1}/inventory/check", {"items": [{"product_id": w.product_id(whose)}]}
    ),
    "GET /inventory/items": lambda w, whose: (ITEMS, None),
    "GET /inventory/items/<product_id>": lambda w, whose: (f"{ITEMS}/{w.product_id(whose)}", None),
    "GET /inventory/items/<product_id>/explain": lambda w, whose: (f"{ITEMS}/{w.product_id(whose)}/explain", None),
    "GET /inventory/items/<product_id>/movements": lambda w, whose: (f"{ITEMS}/{w.product_id(whose)}/movements", None),
    "POST /inventory/items/<product_id>/adjustments": lambda w, whose: (
        f"{ITEMS}/{w.product_id(whose)}/adjustments", ADJUSTMENT
    ),
    "PATCH /inventory/items/<product_id>/stocks/<warehouse>": lambda w, whose: (
        f"{ITEMS}/{w.product_id(whose)}/stocks/MAIN", {"safety_stock": 1}
    ),
    "DELETE /inventory/items/<product_id>/stocks/<warehouse>": lambda w, whose: (
        f"{ITEMS}/{w.product_id(whose) if whose == 'absent' else factories.product(stock={}).id}/stocks/MAIN", None
    ),
    "POST /inventory/transfers": lambda w, whose: (
        f"{V1}/inventory/transfers",
        {"from_warehouse": "MAIN", "to_warehouse": w.warehouse(whose), "items": line(w)},
    ),
    "POST /inventory/allocations/preview": lambda w, whose: (f"{V1}/inventory/allocations/preview", {"items": line(w)}),
    "GET /inventory/reservations": lambda w, whose: (HOLDS, None),
    "POST /inventory/reservations": lambda w, whose: (HOLDS, {"reference": w.role, "items": line(w)}),
    "GET /inventory/reservations/<reservation_id>": lambda w, whose: (f"{HOLDS}/{w.hold(whose)}", None),
    "POST /inventory/reservations/<reservation_id>/confirm": lambda w, whose: (
        f"{HOLDS}/{w.hold(whose)}/confirm", None
    ),
    "POST /inventory/reservations/<reservation_id>/fulfill": lambda w, whose: (
        f"{HOLDS}/{w.promise(whose)}/fulfill", None
    ),
    "POST /inventory/reservations/<reservation_id>/release": lambda w, whose: (
        f"{HOLDS}/{w.hold(whose)}/release", None
    ),
    "POST /inventory/reservations/<reservation_id>/extend": lambda w, whose: (f"{HOLDS}/{w.hold(whose)}/extend", None),
    "GET /inventory/imports": lambda w, whose: (IMPORTS, None),
    "POST /inventory/imports": lambda w, whose: (IMPORTS, w.file()),
    "GET /inventory/imports/<import_id>": lambda w, whose: (f"{IMPORTS}/{w.import_id(whose)}", None),
    "GET /inventory/imports/<import_id>/errors": lambda w, whose: (f"{IMPORTS}/{w.import_id(whose)}/errors", None),
    "POST /inventory/imports/<import_id>/undo": lambda w, whose: (f"{IMPORTS}/{w.import_id(whose)}/undo", None),
    "GET /inventory/exports/stock.csv": lambda w, whose: (f"{V1}/inventory/exports/stock.csv", None),
    "GET /inventory/exports/stock.xlsx": lambda w, whose: (f"{V1}/inventory/exports/stock.xlsx", None),
    "GET /inventory/warehouses": lambda w, whose: (f"{V1}/inventory/warehouses", None),
    "POST /inventory/warehouses": lambda w, whose: (
        f"{V1}/inventory/warehouses", {"code": f"NEW-{w.role}", "name": "New"}
    ),
    "GET /inventory/warehouses/<code>": lambda w, whose: (f"{V1}/inventory/warehouses/{w.warehouse(whose)}", None),
    "PATCH /inventory/warehouses/<code>": lambda w, whose: (
        f"{V1}/inventory/warehouses/{w.warehouse(whose)}", {"name": "Else"}
    ),
    "DELETE /inventory/warehouses/<code>": lambda w, whose: (f"{V1}/inventory/warehouses/{w.warehouse(whose)}", None),
    "GET /orders": lambda w, whose: (f"{V1}/orders", None),
    "POST /orders": lambda w, whose: (
        f"{V1}/orders", {"items": line(w), **({} if whose == "own" else {"user_id": w.user_id(whose)})}
    ),
    "GET /orders/<order_id>": lambda w, whose: (f"{V1}/orders/{w.order(whose)}", None),
    "POST /orders/<order_id>/confirm": lambda w, whose: (f"{V1}/orders/{w.order(whose)}/confirm", {}),
    "POST /orders/<order_id>/cancel": lambda w, whose: (f"{V1}/orders/{w.order(whose)}/cancel", {}),
    "POST /orders/<order_id>/fulfill": lambda w, whose: (f"{V1}/orders/{w.order(whose, 'confirmed')}/fulfill", {}),
    "POST /orders/<order_id>/return": lambda w, whose: (
        f"{V1}/orders/{w.order(whose, 'fulfilled')}/return", {"items": line(w)}
    ),
    "GET /api/schema": lambda w, whose: ("/api/schema", None),
    "POST /check_stock": lambda w, whose: ("/check_stock", {"product_id": w.product_id(whose), "quantity": 1}),
    "POST /update_stock": lambda w, whose: ("/update_stock", {"product_id": w.product_id(whose), "quantity": 1}),
    "POST /create_order": lambda w, whose: ("/create_order", placed(w, whose)),
}  # fmt: skip


def send(world: World, method: str, route: str, whose: str) -> Any:
    return sent(world, method, *CALLS[f"{method} {route}"](world, whose))


def sent(world: World, method: str, path: str, body: Any, *, key: str = "") -> Any:
    client = factories.client(world.caller)
    if key:
        client.defaults["HTTP_IDEMPOTENCY_KEY"] = key
    if isinstance(body, SimpleUploadedFile):
        return Client.post(client, path, {"file": body})  # as a form
    return client.generic(method, path) if body is None else getattr(client, method.lower())(path, body)


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
