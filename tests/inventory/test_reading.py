"""GET explain, as_of and movements: why the stock is what it is, what it was, and how it came to be so."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, transaction

from inventory import services as inventory
from inventory.stock.sql_history import AS_OF
from shop.toolkit.callers import SYSTEM
from shop.toolkit.db import transactions
from tests import factories
from tests.conftest import counted_statements, fetch


def path(product_id: int, what: str = "") -> str:
    return f"/api/v1/inventory/items/{product_id}{what}"


def test_explain_names_every_consumer_and_adds_up(staff):
    factories.warehouse("EAST", priority=200)
    product = factories.product(stock={"MAIN": 10, "EAST": 5})
    staff.patch(path(product.id, "/stocks/EAST"), {"safety_stock": 2})
    factories.reservation((product.id, 3), reference="cart", minutes=5)
    overdue = factories.reservation((product.id, 1), reference="forgotten", minutes=1)
    fetch("UPDATE inventory_reservation SET expires_at = now() - interval '1 s' WHERE id = %s RETURNING 1", overdue.id)
    order = factories.order(factories.user(), (product.id, 4))
    reservation_id = fetch("SELECT reservation_id FROM orders_order")[0][0]
    transactions.run(lambda: inventory.confirm(reservation_id, owner="orders", caller=SYSTEM))

    explained = staff.get(path(product.id, "/explain")).json()

    assert explained["item"] == staff.get(path(product.id)).json()
    assert [(hold["reference"], hold["quantity"], hold["is_overdue"]) for hold in explained["holds"]] == [
        ("forgotten", 1, True),
        ("cart", 3, False),
    ]
    assert all(hold["expires_at"] and hold["warehouse"] == "MAIN" for hold in explained["holds"])
    assert [(promise["reference"], promise["quantity"], promise["expires_at"]) for promise in explained["orders"]] == [
        (order.number, 4, None)
    ]
    for stock in explained["item"]["stocks"]:
        claims = [
            p["quantity"] for p in explained["holds"] + explained["orders"] if p["warehouse"] == stock["warehouse"]
        ]
        assert stock["available"] == stock["on_hand"] - stock["unavailable"] - stock["safety_stock"] - sum(claims)
    assert explained["item"]["available"] == sum(stock["available"] for stock in explained["item"]["stocks"])


def test_as_of_shows_every_past_moment(staff):
    factories.warehouse("EAST", priority=200)
    product = factories.product(stock={})
    moments = []
    for warehouse, delta in (("MAIN", 10), ("EAST", 4), ("MAIN", -3)):
        body = {"warehouse": warehouse, "mode": "adjust", "quantity": delta}
        assert staff.post(path(product.id, "/adjustments"), body).status_code == 201
        moments.append(fetch("SELECT clock_timestamp()")[0][0])

    def then(moment: datetime) -> dict[str, int]:
        item = staff.get(path(product.id), {"as_of": moment.isoformat()}).json()
        assert item["on_hand"] == sum(stock["on_hand"] for stock in item["stocks"])
        return {stock["warehouse"]: stock["on_hand"] for stock in item["stocks"]}

    assert then(moments[0] - timedelta(hours=1)) == {}
    assert [then(moment) for moment in moments] == [{"MAIN": 10}, {"MAIN": 10, "EAST": 4}, {"MAIN": 7, "EAST": 4}]
    assert then(datetime.now(UTC) + timedelta(days=1)) == {"MAIN": 7, "EAST": 4}
    assert staff.get(path(product.id, "?as_of=yesterday")).json()["errors"][0]["field"] == "as_of"
    assert staff.get(path(999_999, "?as_of=2026-01-01T00:00:00Z")).status_code == 404


def test_movements_are_the_ledger_newest_first_in_pages(staff):
    factories.warehouse("EAST", priority=200)
    product = factories.product(stock={"MAIN": 10, "EAST": 10})
    for _ in range(3):
        factories.reservation((product.id, 2))

    first = staff.get(path(product.id, "/movements?page_size=3")).json()
    second = staff.get(first["next"]).json()

    assert [(m["kind"], m["warehouse"], m["seq"]) for m in first["results"] + second["results"]] == [
        ("reserve", "MAIN", 4),
        ("reserve", "MAIN", 3),
        ("reserve", "MAIN", 2),
        ("receive", "EAST", 1),
        ("receive", "MAIN", 1),
    ]
    assert second["next"] is None
    kinds = staff.get(path(product.id, "/movements?kind=receive&warehouse=EAST")).json()["results"]
    assert [(m["kind"], m["warehouse"]) for m in kinds] == [("receive", "EAST")]
    assert staff.get(path(product.id, "/movements?kind=lost")).status_code == 400
    assert staff.get(path(999_999, "/movements")).json()["code"] == "item_not_found"


@pytest.mark.parametrize("what", ["/explain", "/movements", "?as_of=2026-01-01T00:00:00Z"])
def test_only_staff_see_it(customer, what):
    assert customer.get(path(1, what)).status_code == 403


def test_the_statements_do_not_grow_with_the_history(staff):
    product = factories.product(stock=500)
    counts: dict[str, list[int]] = {}
    for _ in range(2):
        for what in ("/explain", "/movements", "?as_of=2030-01-01T00:00:00Z"):
            with counted_statements() as statements:
                staff.get(path(product.id, what))
            counts.setdefault(what, []).append(len(statements))
        for _ in range(20):
            factories.reservation((product.id, 1))

    assert counts == {"/explain": [7, 7], "/movements": [5, 5], "?as_of=2030-01-01T00:00:00Z": [7, 7]}


def test_the_past_is_found_by_index(new_tables):
    """One probe of the index for each warehouse: the plan has no sort and no scan of the whole ledger."""
    product = factories.product(stock=500)
    for _ in range(30):
        factories.reservation((product.id, 1))
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")  # the table is small enough to be read whole
        plan = "\n".join(row for (row,) in fetch(f"EXPLAIN {AS_OF}", datetime.now(UTC), product.id))

    assert re.search(r"Index (Only )?Scan (Backward )?using inventory_movement_as_of", plan), plan
    assert "Sort" not in plan
