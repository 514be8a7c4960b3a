"""How many SQL statements each operation takes: `statements.txt`, so that nobody slows one by accident.

The same for 1 line and for 100, for a page of 10 rows and of 200. BEGIN and COMMIT are counted, and finding out who
calls. A route that is not in the file fails.
"""

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from inventory import models as inventory_models
from orders import lifecycle
from shop.toolkit.callers import System
from shop.toolkit.db import transactions
from shop.toolkit.ids import new_id
from tests import factories
from tests.conftest import counted_statements
from tests.inventory.imports import loaded
from tests.shop.permission_matrix import ADJUSTMENT, CALLS, HOLDS, IMPORTS, ITEMS, ROWS, V1, World
from users import models as user_models

BUDGET = Path(__file__).with_name("statements.txt")
LINES, ROWS_OF_A_PAGE = (1, 100), (10, 200)


def read_budget() -> dict[str, int]:
    lines = [line.rsplit(maxsplit=1) for line in BUDGET.read_text().splitlines() if not line.startswith("#")]
    return {" ".join(route.split()): int(statements) for route, statements in lines}


STATEMENTS = read_budget()


def some_of(whose: set[str]) -> str:
    """Return the row that a route is called about: one that is there."""
    return next(kind for kind in ("any", "own", "-", "other") if kind in whose)


ABOUT = {
    route: some_of({whose for method, path, whose, _ in ROWS if f"{method} {path}" == route})
    for route in (f"{method} {path}" for method, path, _, _ in ROWS)
}


def counted(world: World, route: str, path: str, body: Any, **headers: str) -> int:
    """Return how many statements a request of the admin's takes that is answered well."""
    method = route.split(maxsplit=1)[0]
    client = factories.client(world.caller)
    with counted_statements() as statements:
        if isinstance(body, SimpleUploadedFile):
            answer = Client.post(client, path, {"file": body})
        elif body is None:
            answer = client.generic(method, path, headers=headers)
        else:
            answer = getattr(client, method.lower())(path, body, headers=headers)
        with closing(answer):
            assert answer.status_code < 300, answer.content
            if answer.streaming:
                b"".join(answer.streaming_content)
            elif "page_size" in path:
                assert f"page_size={len(answer.json()['results'])}" in path
    return len(statements)


def lines_of(world: World, size: int, **more: Any) -> list[dict[str, Any]]:
    world.products = [factories.product(stock=5, price="9.90") for _ in range(size)]
    return [{"product_id": product.id, "quantity": 1, **more} for product in world.products]


def order_in(world: World, size: int, status: str = "pending") -> str:
    made = factories.order(world.caller, *((line["product_id"], 1) for line in lines_of(world, size)))
    now = timezone.now()
    if status != "pending":
        step = {"caller": System(world.caller.id), "now": now, "payment_reference": ""}
        transactions.run(lambda: lifecycle.confirm_order(made.id, **step))
    if status == "fulfilled":
        transactions.run(lambda: lifecycle.fulfill_order(made.id, items=None, caller=System(world.caller.id), now=now))
    return f"{V1}/orders/{made.id}"


def hold_of(world: World, size: int) -> str:
    demand = [(line["product_id"], 1) for line in lines_of(world, size)]
    return f"{HOLDS}/{factories.reservation(*demand, owner='api').id}"


def placed(world: World, size: int) -> dict[str, Any]:
    return {"user_id": world.caller.id, "items": lines_of(world, size, unit_price="9.90", total_price="9.90")}


BY_LINES = {
    "POST /orders": lambda w, size: (f"{V1}/orders", {"items": lines_of(w, size)}),
    "POST /create_order": lambda w, size: ("/create_order", placed(w, size)),
    "GET /orders/<order_id>": lambda w, size: (order_in(w, size), None),
    "POST /orders/<order_id>/confirm": lambda w, size: (f"{order_in(w, size)}/confirm", {}),
    "POST /orders/<order_id>/cancel": lambda w, size: (f"{order_in(w, size)}/cancel", {}),
    "POST /orders/<order_id>/fulfill": lambda w, size: (f"{order_in(w, size, 'confirmed')}/fulfill", {}),
    "POST /orders/<order_id>/return": lambda w, size: (
        f"{order_in(w, size, 'fulfilled')}/return",
        {"items": [{"product_id": product.id, "quantity": 1} for product in w.products]},
    ),
    "POST /inventory/check": lambda w, size: (f"{V1}/inventory/check", {"items": lines_of(w, size)}),
    "POST /inventory/allocations/preview": lambda w, size: (
        f"{V1}/inventory/allocations/preview", {"items": lines_of(w, size)}
    ),
    "POST /inventory/reservations": lambda w, size: (HOLDS, {"reference": w.role, "items": lines_of(w, size)}),
    "GET /inventory/reservations/<reservation_id>": lambda w, size: (hold_of(w, size), None),
    "POST /inventory/reservations/<reservation_id>/confirm": lambda w, size: (f"{hold_of(w, size)}/confirm", None),
    "POST /inventory/reservations/<reservation_id>/release": lambda w, size: (f"{hold_of(w, size)}/release", None),
    "POST /inventory/reservations/<reservation_id>/extend": lambda w, size: (f"{hold_of(w, size)}/extend", None),
    "POST /inventory/transfers": lambda w, size: (
        f"{V1}/inventory/transfers",
        {"from_warehouse": "MAIN", "to_warehouse": w.warehouse("any"), "items": lines_of(w, size)},
    ),
    "POST /inventory/imports": lambda w, size: (
        IMPORTS,
        SimpleUploadedFile("l.csv", "\n".join(["sku,quantity", *(f"{sku},7" for sku in skus(w, size))]).encode()),
    ),
}  # fmt: skip


def skus(world: World, size: int) -> list[str]:
    lines_of(world, size)
    return [product.sku for product in world.products]


@pytest.mark.parametrize("route", BY_LINES)
def test_a_hundred_lines_take_as_many_statements_as_one(database, route):
    found = []
    for size in LINES:
        world = World("admin")
        world.role = f"admin-{size}"  # which names what a call makes
        found.append(counted(world, route, *BY_LINES[route](world, size)))
    assert found == [STATEMENTS[route]] * 2


@pytest.mark.parametrize("size", LINES)
def test_an_idempotency_key_takes_two_statements_more(database, size):
    world = World("admin")
    path, body = BY_LINES["POST /orders"](world, size)
    assert counted(world, "POST /orders", path, body, **{"Idempotency-Key": "k"}) == STATEMENTS["POST /orders"] + 2


def many_users(world: World) -> None:
    user_models.User.objects.bulk_create(
        user_models.User(email=f"many{number}@example.com") for number in range(ROWS_OF_A_PAGE[1])
    )


def many_warehouses(world: World) -> None:
    for number in range(ROWS_OF_A_PAGE[1]):
        factories.warehouse(f"W{number}")


def many_imports(world: World) -> None:
    for number in range(20):
        loaded(f"sku,quantity\n{world.product.sku},{number}\n", again=True)
    row = inventory_models.StockImport.objects.first()
    for _ in range(ROWS_OF_A_PAGE[1]):
        row.pk = new_id()
        row.save(force_insert=True)


def many_movements(world: World) -> None:
    client = factories.client(world.caller)
    for _ in range(ROWS_OF_A_PAGE[1]):
        client.post(f"{ITEMS}/{world.product.id}/adjustments", ADJUSTMENT)


def many_orders(world: World) -> None:
    pair = two_for_all()
    for _ in range(ROWS_OF_A_PAGE[1]):
        factories.order(world.caller, *pair)


def many_reservations(world: World) -> None:
    pair = two_for_all()
    for _ in range(ROWS_OF_A_PAGE[1]):
        factories.reservation(*pair, owner="api")


def two_for_all() -> list[tuple[int, int]]:
    return [(factories.product(stock=ROWS_OF_A_PAGE[1]).id, 1) for _ in range(2)]


BY_ROWS = {
    "GET /users": (f"{V1}/users", many_users),
    "GET /products": (f"{V1}/products", lambda w: lines_of(w, ROWS_OF_A_PAGE[1])),
    "GET /orders": (f"{V1}/orders", many_orders),
    "GET /inventory/items": (ITEMS, lambda w: lines_of(w, ROWS_OF_A_PAGE[1])),
    "GET /inventory/items/<product_id>/movements": (f"{ITEMS}/{{product_id}}/movements", many_movements),
    "GET /inventory/reservations": (HOLDS, many_reservations),
    "GET /inventory/warehouses": (f"{V1}/inventory/warehouses", many_warehouses),
    "GET /inventory/imports": (IMPORTS, many_imports),
}


@pytest.mark.parametrize("route", BY_ROWS)
def test_a_page_of_200_rows_takes_as_many_statements_as_one_of_10(database, route):
    world = World("admin")
    path, fill = BY_ROWS[route]
    fill(world)
    path = path.format(product_id=world.product.id)
    found = [counted(world, route, f"{path}?page_size={size}", None) for size in ROWS_OF_A_PAGE]
    assert found == [STATEMENTS[route]] * 2


# But pages, of which an empty one takes fewer.
@pytest.mark.parametrize("route", [route for route in STATEMENTS if route not in BY_ROWS])
def test_each_operation_takes_as_many_statements_as_the_file_says(database, route):
    world = World("admin")
    factories.reservation((world.product.id, 1), owner=world.other.email)  # a row in each list
    path, body = CALLS[route](world, ABOUT[route])
    assert counted(world, route, path, body) == STATEMENTS[route]


def test_every_route_has_its_number():
    assert set(STATEMENTS) == set(CALLS)
