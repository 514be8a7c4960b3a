"""Goods go to the oldest promise first, and an order says which of its units wait for goods."""

from uuid import UUID

import pytest
from django.utils import timezone

from inventory import services as inventory
from orders import lifecycle, listing
from shop.toolkit.callers import SYSTEM, System
from shop.toolkit.db import transactions
from tests import factories
from tests.conftest import fetch
from tests.orders.steps import confirmed, step
from tests.racing import all_at_once
from tests.stock_rows import assert_books_are_right, set_stock


@pytest.fixture
def product(database):
    """Ten units, of which as many again may be promised."""
    made = factories.product(sku="MUG", stock=10)
    set_stock(made.id, "MAIN", backorder_limit=10)
    return made


def waiting(client, order_id: str) -> list[int]:
    shown = client.get(f"/api/v1/orders/{order_id}").json()["items"]
    (listed,) = [row for row in client.get("/api/v1/orders").json()["results"] if row["id"] == order_id]
    assert listed["items"] == shown
    return [line["waiting"] for line in shown]


def set_apart(product, delta: int) -> None:
    row = {"product_id": product.id, "warehouse": "MAIN", "note": "", "reference": "", "caller": SYSTEM}
    transactions.run(lambda: inventory.adjust(**row, delta=delta, reason="correction"))


def test_a_younger_order_ships_only_what_leaves_the_older_covered(staff, product):
    first, second = confirmed(staff, (product.id, 8)), confirmed(staff, (product.id, 2), (product.id, 4))
    assert (waiting(staff, first), waiting(staff, second)) == ([0], [0, 4])

    refused = step(staff, second, "fulfill", (product.id, 3))

    assert (refused.status_code, refused.json()["code"]) == (409, "stock_promised")
    assert [promise["quantity"] for promise in refused.json()["promises"]] == [8]
    assert "Older orders wait for 8 units of MUG, and 10 can be shipped" in refused.json()["detail"]
    assert step(staff, second, "fulfill", (product.id, 2)).status_code == 200
    assert waiting(staff, second) == [0, 4]
    assert step(staff, first, "fulfill").status_code == 200
    assert step(staff, second, "fulfill").json()["code"] == "insufficient_stock"
    set_apart(product, 4)
    assert waiting(staff, second) == [0, 0]
    assert step(staff, second, "fulfill").json()["status"] == "fulfilled"
    assert_books_are_right()


def test_age_is_when_an_order_was_confirmed_not_when_it_was_placed(staff, product):
    buyer = factories.client(factories.user())
    items = [{"product_id": product.id, "quantity": 8}]
    placed_first = buyer.post("/api/v1/orders", {"items": items}).json()["id"]
    confirmed_first = confirmed(buyer, (product.id, 8))
    factories.confirmer().post(f"/api/v1/orders/{placed_first}/confirm")

    assert waiting(buyer, placed_first) == [6]
    assert step(staff, placed_first, "fulfill").json()["code"] == "stock_promised"
    assert step(staff, confirmed_first, "fulfill").status_code == 200


def test_a_permission_ships_out_of_turn(staff, product):
    confirmed(staff, (product.id, 8))
    second = confirmed(staff, (product.id, 4))
    desk = factories.client(factories.user(is_staff=True, group="Order desk"))

    assert step(desk, second, "fulfill", (product.id, 4), out_of_turn=True).status_code == 403
    assert step(staff, second, "fulfill", (product.id, 4), out_of_turn=True).status_code == 200


def test_what_is_there_for_all_asks_for_no_turn(staff):
    product = factories.product(stock=10)
    confirmed(staff, (product.id, 6))
    second = confirmed(staff, (product.id, 4))

    assert waiting(staff, second) == [0]
    assert step(staff, second, "fulfill").status_code == 200


@pytest.mark.alone
def test_two_who_ship_at_once_leave_the_older_covered(staff, product):
    oldest = confirmed(staff, (product.id, 6))
    others = [confirmed(staff, (product.id, 4)) for _ in range(2)]
    now, boss = timezone.now(), factories.user().id

    found = all_at_once(
        *(
            lambda key=key: lifecycle.fulfill_order(UUID(key), items=None, caller=System(boss), now=now)
            for key in others
        )
    )

    assert sorted(type(result).__name__ for result in found) == ["Order", "StockPromised"]
    assert step(staff, oldest, "fulfill").status_code == 200


def test_the_pick_list_says_what_is_there(staff, product):
    confirmed(staff, (product.id, 8))
    second = confirmed(staff, (product.id, 5))
    (pick,) = listing.pick_list(UUID(second))

    assert (pick.quantity, pick.ready) == (5, 2)


def test_a_reservation_of_the_api_is_shipped_by_the_api(staff, product):
    path = "/api/v1/inventory/reservations"
    body = {"reference": "R", "items": [{"product_id": product.id, "quantity": 3}]}
    made = staff.post(path, body).json()["id"]

    assert staff.post(f"{path}/{made}/fulfill").json()["code"] == "invalid_transition"
    staff.post(f"{path}/{made}/confirm")
    part = staff.post(f"{path}/{made}/fulfill", {"items": [{"product_id": product.id, "quantity": 1}]}).json()
    assert (part["state"], part["lines"][0]["open"], part["lines"][0]["fulfilled"]) == ("confirmed", 2, 1)
    assert staff.post(f"{path}/{made}/fulfill").json()["state"] == "fulfilled"
    assert fetch("SELECT on_hand, committed FROM inventory_stock") == [(7, 0)]
    assert_books_are_right()


def test_an_archived_product_cannot_be_reserved(staff):
    sold, archived = factories.product(stock=5), factories.product(stock=5)
    staff.delete(f"/api/v1/products/{archived.id}")
    items = [{"product_id": key, "quantity": 1} for key in (sold.id, archived.id)]

    refused = staff.post("/api/v1/inventory/reservations", {"reference": "R", "items": items})

    assert (refused.status_code, refused.json()["product_ids"]) == (404, [archived.id])
    preview = staff.post("/api/v1/inventory/allocations/preview", {"items": items})
    assert (preview.status_code, preview.json()["product_ids"]) == (404, [archived.id])
    assert fetch("SELECT sum(reserved) FROM inventory_stock") == [(0,)]
