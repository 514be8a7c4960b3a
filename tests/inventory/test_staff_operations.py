"""POST adjustments and transfers, PATCH stocks, counts: what staff do to stock."""

import pytest

from inventory import services as inventory
from inventory.counts import counting, posting
from inventory.stock import ledger
from shop.toolkit.callers import SYSTEM, User
from shop.toolkit.db import transactions
from shop.toolkit.ids import new_id
from tests import factories
from tests.conftest import counted_statements, fetch


def adjust(client, product_id: int, **body):
    return client.post(f"/api/v1/inventory/items/{product_id}/adjustments", {"warehouse": "MAIN", **body})


def on_hand() -> list[int]:
    return [units for (units,) in fetch("SELECT on_hand FROM inventory_stock ORDER BY product_id, warehouse_id")]


def test_an_adjustment_adds_and_is_in_the_ledger_with_who_and_why(staff):
    product = factories.product(stock=10)

    response = adjust(staff, product.id, mode="adjust", quantity=-3, reason="damaged", note="dropped", reference="R-1")

    assert response.status_code == 201
    movement = response.json()
    assert movement.pop("created_at")
    assert movement == {
        "id": f"{product.id}-{fetch('SELECT warehouse_id FROM inventory_stock')[0][0]}-2",
        "product_id": product.id,
        "warehouse": "MAIN",
        "seq": 2,
        "kind": "adjust",
        "reason": "damaged",
        "on_hand_delta": -3,
        "reserved_delta": 0,
        "committed_delta": 0,
        "unavailable_delta": 0,
        "on_hand": 7,
        "reserved": 0,
        "committed": 0,
        "unavailable": 0,
        "reference": "R-1",
        "actor_id": staff.get("/api/v1/users/me").json()["id"],
        "import_id": None,
        "note": "dropped",
    }


def test_set_is_a_compare_and_set(staff):
    product = factories.product(stock=10)

    stale = adjust(staff, product.id, mode="set", quantity=7, expected_on_hand=9)
    right = adjust(staff, product.id, mode="set", quantity=7, expected_on_hand=10)

    assert stale.status_code == 409
    assert (stale.json()["code"], stale.json()["current"]) == ("stale_quantity", 10)
    assert (right.status_code, right.json()["on_hand_delta"], right.json()["on_hand"]) == (201, -3, 7)
    assert on_hand() == [7]


def test_null_opts_out_of_the_comparison_and_is_logged(staff, caplog):
    product = factories.product(stock=10)

    assert adjust(staff, product.id, mode="set", quantity=7, expected_on_hand=None).status_code == 201
    assert "set without an expected quantity" in caplog.text


def test_units_received_are_a_receipt_and_open_the_stock_row(staff):
    product = factories.product(stock={})

    movement = adjust(staff, product.id, mode="adjust", quantity=5, reason="received").json()

    assert (movement["kind"], movement["reason"], movement["seq"], movement["on_hand"]) == ("receive", "received", 1, 5)


def test_a_loss_that_would_break_promises_is_refused_with_the_promises(staff):
    product = factories.product(stock=10)
    held = factories.reservation((product.id, 4), reference="cart")
    sold = factories.reservation((product.id, 3), reference="order")
    transactions.run(lambda: inventory.confirm(sold.id, owner="test", caller=SYSTEM))

    refused = adjust(staff, product.id, mode="adjust", quantity=-4)
    allowed = adjust(staff, product.id, mode="adjust", quantity=-3)

    assert refused.status_code == 409
    assert refused.json()["code"] == "stock_promised"
    assert [(p["reference"], p["state"], p["quantity"], p["reservation_id"]) for p in refused.json()["promises"]] == [
        ("cart", "held", 4, str(held.id)),
        ("order", "confirmed", 3, str(sold.id)),
    ]
    assert allowed.status_code == 201
    assert on_hand() == [7]


def test_more_than_is_there_is_not_written_off(staff):
    product = factories.product(stock=3)

    response = adjust(staff, product.id, mode="adjust", quantity=-4)

    assert response.json()["shortages"] == [{"product_id": product.id, "requested": 4, "available": 3}]
    assert on_hand() == [3]


def test_damaged_units_are_set_apart_put_back_and_discarded(staff):
    product = factories.product(stock=10)
    factories.reservation((product.id, 6))

    def step(mode: str, quantity: int):
        return adjust(staff, product.id, mode=mode, quantity=quantity, reason="damaged")

    assert step("unavailable", 3).json()["unavailable"] == 3
    assert step("unavailable", 2).json()["code"] == "stock_promised"
    assert step("unavailable", -1).json()["unavailable_delta"] == -1
    assert step("unavailable", -3).json()["shortages"] == [{"product_id": product.id, "requested": 3, "available": 2}]
    gone = step("discard", 2).json()
    assert (gone["on_hand"], gone["unavailable"], gone["on_hand_delta"], gone["unavailable_delta"]) == (8, 0, -2, -2)
    assert step("discard", 1).json()["shortages"] == [{"product_id": product.id, "requested": 1, "available": 0}]
    assert fetch("SELECT on_hand, reserved, unavailable FROM inventory_stock") == [(8, 6, 0)]


def test_units_set_apart_stand_in_the_way_of_a_loss_by_their_own_name(staff):
    product = factories.product(stock=2)
    adjust(staff, product.id, mode="unavailable", quantity=2)

    response = adjust(staff, product.id, mode="adjust", quantity=-1)

    assert response.json()["shortages"] == [{"product_id": product.id, "requested": 1, "available": 0}]


def test_a_transfer_that_breaks_many_promises_lists_them_all(staff):
    factories.warehouse("EAST")
    products = [factories.product(stock=2) for _ in range(3)]
    for product in products:
        factories.reservation((product.id, 2))
    items = [{"product_id": product.id, "quantity": 1} for product in products]

    response = staff.post(
        "/api/v1/inventory/transfers", {"from_warehouse": "MAIN", "to_warehouse": "EAST", "items": items}
    )

    assert [promise["product_id"] for promise in response.json()["promises"]] == [product.id for product in products]


@pytest.mark.parametrize("units", [-1, 1_000_000_001, 2**40])
def test_a_count_that_is_no_level_is_refused(database, units):
    count_id, product = new_id(), factories.product(stock=1)
    transactions.run(lambda: counting.open_count(count_id=count_id, warehouse="MAIN", note="", caller=SYSTEM))

    with pytest.raises(inventory.LevelOutOfRange):
        counted(product.id, units, count_id)


def test_a_warehouse_with_a_count_stays(staff):
    factories.warehouse("EAST")
    transactions.run(lambda: counting.open_count(count_id=new_id(), warehouse="EAST", note="", caller=SYSTEM))

    assert staff.delete("/api/v1/inventory/warehouses/EAST").json()["code"] == "warehouse_in_use"


def test_a_level_has_an_end(staff):
    product = factories.product(stock=1_000_000_000)

    assert adjust(staff, product.id, mode="adjust", quantity=1).json()["errors"][0]["code"] == "out_of_range"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"mode": "adjust", "quantity": 0}, "quantity"),
        ({"mode": "adjust", "quantity": 1.0}, "quantity"),
        ({"mode": "adjust", "quantity": 1_000_000_001}, "quantity"),
        ({"mode": "adjust", "quantity": 1, "expected_on_hand": 1}, "expected_on_hand"),
        ({"mode": "set", "quantity": 1}, "expected_on_hand"),
        ({"mode": "set", "quantity": -1, "expected_on_hand": 1}, "quantity"),
        ({"mode": "guess", "quantity": 1}, "mode"),
        ({"mode": "adjust", "quantity": 1, "reason": "sale"}, "reason"),
        ({"mode": "adjust", "quantity": 1, "note": "x" * 501}, "note"),
        ({"quantity": 1}, "mode"),
    ],
)
def test_a_wrong_adjustment_names_the_field(staff, body, field):
    response = adjust(staff, factories.product(stock=1).id, **body)

    assert [error["field"] for error in response.json()["errors"]] == [field]


def test_unknown_warehouse_and_product_are_told(staff):
    product = factories.product(stock=1)

    assert adjust(staff, product.id, warehouse="MOON", mode="adjust", quantity=1).json()["warehouses"] == ["MOON"]
    assert adjust(staff, 999_999, mode="adjust", quantity=1).json()["product_ids"] == [999_999]


def test_a_transfer_has_both_legs_or_none(staff):
    factories.warehouse("EAST")
    first, second = factories.product(stock=5), factories.product(stock=2)
    body = {"from_warehouse": "MAIN", "to_warehouse": "EAST", "note": "van"}

    def move(*quantities: int):
        items = [{"product_id": p.id, "quantity": q} for p, q in zip((first, second), quantities, strict=True)]
        return staff.post("/api/v1/inventory/transfers", {**body, "items": items})

    refused, done = move(3, 3), move(3, 2)

    assert refused.json()["shortages"] == [{"product_id": second.id, "requested": 3, "available": 2}]
    assert done.status_code == 201
    legs = done.json()["movements"]
    assert [(leg["warehouse"], leg["on_hand_delta"]) for leg in legs] == [
        ("MAIN", -3), ("EAST", 3), ("MAIN", -2), ("EAST", 2),
    ]  # fmt: skip
    assert len({leg["reference"] for leg in legs}) == 1
    assert {(leg["kind"], leg["reason"], leg["note"]) for leg in legs} == {("transfer", "transfer", "van")}
    assert on_hand() == [2, 3, 0, 2]


def test_a_transfer_does_not_take_promised_units(staff):
    factories.warehouse("EAST")
    product = factories.product(stock=5)
    factories.reservation((product.id, 4))
    body = {"from_warehouse": "MAIN", "to_warehouse": "EAST", "items": [{"product_id": product.id, "quantity": 2}]}

    assert staff.post("/api/v1/inventory/transfers", body).json()["code"] == "stock_promised"
    assert staff.post("/api/v1/inventory/transfers", {**body, "to_warehouse": "MAIN"}).status_code == 400
    assert staff.post("/api/v1/inventory/transfers", {**body, "to_warehouse": "MOON"}).status_code == 404


def test_a_transfer_takes_the_same_statements_for_any_number_of_items(database):
    factories.warehouse("EAST")
    products = [factories.product(stock={"MAIN": 5, "EAST": 5}) for _ in range(20)]
    counts = []
    for number in (1, 20):
        with counted_statements() as statements:
            transactions.run(
                lambda number=number: ledger.transfer(
                    transfer_id=new_id(),
                    from_warehouse="MAIN",
                    to_warehouse="EAST",
                    items=[inventory.Demand(product.id, 1) for product in products[:number]],
                    note="",
                    caller=SYSTEM,
                )
            )
        counts.append(len(statements))

    assert counts[0] == counts[1]


def test_policy_is_changed_and_shows_in_what_is_available(staff):
    product = factories.product(stock=10)
    path = f"/api/v1/inventory/items/{product.id}/stocks/MAIN"

    stock = staff.patch(path, {"safety_stock": 4, "reorder_point": 6}).json()

    assert (stock["safety_stock"], stock["reorder_point"], stock["available"], stock["low_stock"]) == (4, 6, 6, True)
    assert staff.patch(path, {"backorder_limit": 5}).json()["backorder_limit"] == 5
    factories.reservation((product.id, 11))
    refused = staff.patch(path, {"backorder_limit": 0})
    assert (refused.status_code, refused.json()["code"]) == (409, "stock_promised")
    assert staff.patch(path, {"safety_stock": -1}).json()["errors"][0]["field"] == "safety_stock"
    assert staff.patch(path.replace("MAIN", "MOON"), {"safety_stock": 1}).status_code == 404


def test_writes_take_the_permission(customer):
    viewer = factories.client(factories.user(is_staff=True))
    product = factories.product(stock=10)
    path = f"/api/v1/inventory/items/{product.id}"
    transfer = {"from_warehouse": "MAIN", "to_warehouse": "MAIN", "items": [{"product_id": 1, "quantity": 1}]}

    for client in (customer, viewer):
        assert adjust(client, product.id, mode="adjust", quantity=1).status_code == 403
        assert client.post("/api/v1/inventory/transfers", transfer).status_code == 403
        assert client.patch(f"{path}/stocks/MAIN", {"safety_stock": 1}).status_code == 403


def counted(product_id: int, units: int, count_id) -> None:
    transactions.run(lambda: counting.record_count(count_id, product_id=product_id, counted=units, caller=User(7)))


def test_a_count_is_against_the_book_at_the_moment_of_counting(database):
    missing, right, new = (factories.product(stock=stock) for stock in (10, 5, {}))
    count_id = new_id()
    transactions.run(lambda: counting.open_count(count_id=count_id, warehouse="MAIN", note="spring", caller=User(7)))
    counted(missing.id, 8, count_id)
    counted(right.id, 4, count_id)
    counted(right.id, 5, count_id)
    counted(new.id, 2, count_id)
    # Sold and shipped after it was counted, before the count is closed.
    sold = factories.reservation((missing.id, 3))
    transactions.run(lambda: inventory.confirm(sold.id, owner="test", caller=SYSTEM))
    transactions.run(lambda: inventory.fulfill(sold.id, owner="test", caller=SYSTEM))

    closed = transactions.run(lambda: posting.close_count(count_id, caller=User(8)))
    again = transactions.run(lambda: posting.close_count(count_id, caller=User(8)))

    lines = closed.count.lines
    assert [(line.counted, line.book, line.variance) for line in lines] == [(8, 10, -2), (5, 5, 0), (2, 0, 2)]
    assert all(line.posted_at is not None for line in lines)
    assert on_hand() == [5, 5, 2]
    assert (again.count, again.posted) == (closed.count, [])
    columns = "product_id, on_hand_delta, reason, actor_id, note"
    assert fetch(f"SELECT {columns} FROM inventory_movement WHERE kind = 'count' ORDER BY product_id") == [
        (missing.id, -2, "count", 8, "spring"),
        (new.id, 2, "count", 8, "spring"),
    ]
    with pytest.raises(inventory.CountClosed):
        counted(right.id, 1, count_id)
