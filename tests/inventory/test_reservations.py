"""Reservations: services and endpoints, every transition, deadlines by the database's clock."""

import re
from datetime import timedelta
from uuid import UUID

import pytest

from inventory import services as inventory
from inventory.stock import ledger
from shop.toolkit.callers import SYSTEM
from shop.toolkit.db import pages, transactions
from shop.toolkit.ids import new_id
from tests import factories
from tests.conftest import counted_statements, fetch

PATH = "/api/v1/inventory/reservations"


def stock() -> tuple:
    return fetch("SELECT on_hand, reserved, committed, unavailable FROM inventory_stock ORDER BY product_id")[0]


def let_the_deadline_pass(*reservation_ids: UUID) -> None:
    """Move deadlines into the past; the clock is the database's, so it is the deadline that has to move."""
    past = "expires_at = clock_timestamp() - interval '1 second'"
    fetch(f"UPDATE inventory_reservation SET {past} WHERE id = ANY(%s) RETURNING 1", list(reservation_ids))


def confirmed(*demand: tuple[int, int]) -> inventory.Reservation:
    held = factories.reservation(*demand)
    return transactions.run(lambda: inventory.confirm(held.id, owner="test", caller=SYSTEM))


def test_reserve_show_confirm_and_release_over_http(staff):
    product = factories.product(stock=10)

    made = staff.post(
        PATH, {"reference": "POS-1", "items": [{"product_id": product.id, "quantity": 4}], "ttl_seconds": 60}
    )

    assert made.status_code == 201
    reservation = made.json()
    assert (reservation["reference"], reservation["state"], reservation["ended_at"]) == ("POS-1", "held", None)
    assert reservation["lines"] == [
        {
            "product_id": product.id,
            "warehouse": "MAIN",
            "quantity": 4,
            "open": 4,
            "fulfilled": 0,
            "released": 0,
            "returned": 0,
            "ready": 0,
        }
    ]
    path = f"{PATH}/{reservation['id']}"
    assert staff.get(path).json() == reservation
    assert staff.get(f"{PATH}?reference=POS-1").json()["results"] == [reservation]
    assert staff.get(f"{PATH}?state=confirmed").json()["results"] == []
    assert staff.post(f"{path}/confirm").json()["state"] == "confirmed"
    part = staff.post(f"{path}/release", {"items": [{"product_id": product.id, "quantity": 1}]}).json()
    assert (part["state"], part["lines"][0]["open"], part["lines"][0]["released"]) == ("confirmed", 3, 1)
    assert staff.post(f"{path}/release").json()["state"] == "released"
    assert staff.post(f"{path}/release").json()["state"] == "released"
    assert staff.post(f"{path}/confirm").json()["current_status"] == "released"
    assert stock() == (10, 0, 0, 0)


def test_a_reference_has_one_open_reservation(staff):
    product = factories.product(stock=10)
    body = {"reference": "POS-1", "items": [{"product_id": product.id, "quantity": 4}]}
    staff.post(PATH, body)

    second = staff.post(PATH, body)

    assert second.status_code == 409
    assert second.json()["code"] == "reference_in_use"
    assert stock() == (10, 4, 0, 0)


def test_shortages_and_unknown_products_are_named(staff):
    product = factories.product(stock=3)

    short = staff.post(PATH, {"reference": "A", "items": [{"product_id": product.id, "quantity": 4}]})
    unknown = staff.post(PATH, {"reference": "A", "items": [{"product_id": 999_999, "quantity": 1}]})

    assert short.json()["shortages"] == [{"product_id": product.id, "requested": 4, "available": 3}]
    assert (unknown.json()["code"], unknown.json()["product_ids"]) == ("item_not_found", [999_999])
    assert fetch("SELECT count(*) FROM inventory_reservation") == [(0,)]


@pytest.mark.parametrize("step", ["confirm", "fulfill", "release", "extend"])
def test_steps_take_the_permission_and_a_reservation(customer, staff, step):
    reservation = factories.reservation((factories.product(stock=1).id, 1))
    viewer = factories.client(factories.user(is_staff=True, group="Inventory viewer"))

    assert customer.post(f"{PATH}/{reservation.id}/{step}").status_code == 403
    assert viewer.post(f"{PATH}/{reservation.id}/{step}").status_code == 403
    assert viewer.get(f"{PATH}/{reservation.id}").status_code == 200
    assert staff.post(f"{PATH}/{new_id()}/{step}").json()["code"] == "reservation_not_found"


def test_extend_puts_the_deadline_off_up_to_the_greatest_age(staff, settings):
    reservation = factories.reservation((factories.product(stock=1).id, 1), owner="api", minutes=1)
    path = f"{PATH}/{reservation.id}/extend"

    longer = staff.post(path, {"ttl_seconds": 600}).json()
    assert longer["expires_at"] > reservation.expires_at.isoformat()
    assert staff.post(path, {"ttl_seconds": 1}).json()["expires_at"] == longer["expires_at"]
    settings.RESERVATION_MAX_AGE_SECONDS = 900
    assert staff.post(path, {"ttl_seconds": 3600}).json()["errors"][0]["code"] == "too_long"
    cut = staff.post(path, {"ttl_seconds": 900})
    assert cut.json()["code"] == "hold_limit_reached"
    assert re.search(r"can last 89\d more seconds", cut.json()["detail"])
    staff.post(path)
    assert fetch("SELECT expires_at - created_at FROM inventory_reservation") == [(timedelta(seconds=900),)]
    fetch("UPDATE inventory_reservation SET created_at = created_at - interval '1 hour' RETURNING 1")
    assert staff.post(path).json()["code"] == "hold_limit_reached"


def test_a_hold_is_not_made_older_than_holds_may_become(staff, settings):
    settings.RESERVATION_MAX_AGE_SECONDS = 900
    body = {"reference": "A", "items": [{"product_id": factories.product(stock=1).id, "quantity": 1}]}

    refused = staff.post(PATH, {**body, "ttl_seconds": 901})

    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (400, "too_long")
    assert "at most 900 seconds" in refused.json()["errors"][0]["detail"]
    staff.post(PATH, {**body, "ttl_seconds": 900})
    ((lasts,),) = fetch("SELECT expires_at - created_at FROM inventory_reservation")
    assert abs(lasts - timedelta(seconds=900)) < timedelta(milliseconds=10)


@pytest.mark.parametrize("step", ["confirm", "fulfill", "release", "extend"])
def test_an_orders_reservation_is_changed_by_its_order_alone(staff, step):
    factories.order(factories.user(), (factories.product(stock=3).id, 2))
    reservation_id = fetch("SELECT id FROM inventory_reservation")[0][0]

    response = staff.post(f"{PATH}/{reservation_id}/{step}")

    assert (response.status_code, response.json()["code"], response.json()["owner"]) == (
        409,
        "reservation_owned",
        "orders",
    )
    assert stock() == (3, 2, 0, 0)


def test_an_empty_list_releases_nothing(staff):
    reservation = factories.reservation((factories.product(stock=3).id, 2), owner="api")

    response = staff.post(f"{PATH}/{reservation.id}/release", {"items": []})

    assert (response.status_code, response.json()["errors"][0]["field"]) == (400, "items")
    assert stock() == (3, 2, 0, 0)


def test_units_on_backorder_are_not_shipped_before_they_arrive(staff):
    product = factories.product(stock=1)
    staff.patch(f"/api/v1/inventory/items/{product.id}/stocks/MAIN", {"backorder_limit": 5})
    reservation = confirmed((product.id, 3))

    with pytest.raises(inventory.InsufficientStock) as refused:
        transactions.run(lambda: inventory.fulfill(reservation.id, owner="test", caller=SYSTEM))

    assert refused.value.shortages == [inventory.Shortage(product.id, 3, 1)]
    assert stock() == (1, 0, 3, 0)


def test_units_do_not_come_back_above_the_highest_level(database):
    product = factories.product(stock=1_000_000_000)
    reservation = confirmed((product.id, 1))
    transactions.run(lambda: inventory.fulfill(reservation.id, owner="test", caller=SYSTEM))
    level = [inventory.Level("MAIN", 1)]
    transactions.run(lambda: ledger.receive(product_id=product.id, levels=level, caller=SYSTEM, reference="", note=""))

    with pytest.raises(inventory.LevelOutOfRange):
        transactions.run(
            lambda: inventory.take_back(
                reservation.id,
                owner="test",
                items=[inventory.Demand(product.id, 1)],
                resalable=True,
                note="",
                caller=SYSTEM,
            )
        )


def test_check_counts_overdue_units_whatever_is_asked(api):
    product = factories.product(stock=10)
    let_the_deadline_pass(factories.reservation((product.id, 7)).id)

    answers = [
        api.get(f"/api/v1/inventory/check?product_id={product.id}&quantity={quantity}").json()
        for quantity in (3, 4, 11)
    ]

    assert [answer["available_quantity"] for answer in answers] == [10, 10, 10]
    assert [answer["available"] for answer in answers] == [True, True, False]


def test_a_confirmed_or_ended_reservation_is_not_extended(staff):
    reservation = factories.reservation((factories.product(stock=1).id, 1), owner="api")
    staff.post(f"{PATH}/{reservation.id}/confirm")

    assert staff.post(f"{PATH}/{reservation.id}/extend").json()["current_status"] == "confirmed"


def test_a_hold_past_its_deadline_that_nobody_ended_can_still_be_confirmed(database):
    reservation = factories.reservation((factories.product(stock=5).id, 2))
    let_the_deadline_pass(reservation.id)

    assert transactions.run(lambda: inventory.confirm(reservation.id, owner="test", caller=SYSTEM)).state == "confirmed"
    assert stock() == (5, 0, 2, 0)


def test_an_overdue_hold_never_blocks_a_buyer(database):
    product, other = factories.product(stock=5), factories.product(stock=5)
    overdue = factories.reservation((product.id, 4), (other.id, 1))
    young = factories.reservation((product.id, 1))
    let_the_deadline_pass(overdue.id)

    bought = factories.reservation((product.id, 4))

    assert bought.state == "held"
    states = dict(fetch("SELECT id, state FROM inventory_reservation"))
    assert states == {overdue.id: "expired", young.id: "held", bought.id: "held"}
    assert fetch("SELECT reserved FROM inventory_stock ORDER BY product_id") == [(5,), (0,)]


def test_what_overdue_holds_cannot_give_is_refused_exactly(database):
    product = factories.product(stock=5)
    overdue = factories.reservation((product.id, 2))
    factories.reservation((product.id, 3))
    let_the_deadline_pass(overdue.id)

    with pytest.raises(inventory.InsufficientStock) as refused:
        factories.reservation((product.id, 3))

    assert refused.value.shortages == [inventory.Shortage(product.id, 3, 2)]


def test_check_and_preview_count_what_a_reserve_would_reclaim(staff):
    product = factories.product(stock=5)
    let_the_deadline_pass(factories.reservation((product.id, 4)).id)
    items = {"items": [{"product_id": product.id, "quantity": 5}]}

    check = staff.post("/api/v1/inventory/check", items).json()["items"][0]
    preview = staff.post("/api/v1/inventory/allocations/preview", items).json()

    assert (check["available"], check["available_quantity"]) == (True, 5)
    assert preview == {"allocations": [{"product_id": product.id, "warehouse": "MAIN", "quantity": 5}], "shortages": []}


def test_preview_plans_as_reserve_does_and_writes_nothing(staff):
    factories.warehouse("EAST", priority=200)
    product, short = factories.product(stock={"MAIN": 3, "EAST": 4}), factories.product(stock=1)
    before = fetch("SELECT count(*) FROM inventory_movement")
    items = [{"product_id": product.id, "quantity": 5}, {"product_id": short.id, "quantity": 2}]

    preview = staff.post("/api/v1/inventory/allocations/preview", {"items": items}).json()

    assert preview == {
        "allocations": [
            {"product_id": product.id, "warehouse": "MAIN", "quantity": 3},
            {"product_id": product.id, "warehouse": "EAST", "quantity": 2},
        ],
        "shortages": [{"product_id": short.id, "requested": 2, "available": 1}],
    }
    assert fetch("SELECT count(*) FROM inventory_movement") == before
    reserved = factories.reservation((product.id, 5))
    assert [(line.warehouse, line.quantity) for line in reserved.lines] == [("MAIN", 3), ("EAST", 2)]


def test_fulfill_ships_from_the_warehouses_that_the_reservation_names(database):
    factories.warehouse("EAST", priority=200)
    product = factories.product(stock={"MAIN": 3, "EAST": 4})
    reservation = confirmed((product.id, 5))

    part = transactions.run(
        lambda: inventory.fulfill(reservation.id, owner="test", items=[inventory.Demand(product.id, 4)], caller=SYSTEM)
    )
    assert [(line.warehouse, line.open, line.fulfilled) for line in part.lines] == [("MAIN", 0, 3), ("EAST", 1, 1)]
    assert part.state == "confirmed"
    whole = transactions.run(lambda: inventory.fulfill(reservation.id, owner="test", caller=SYSTEM))
    with pytest.raises(inventory.InvalidTransition):
        transactions.run(lambda: inventory.fulfill(reservation.id, owner="test", caller=SYSTEM))
    assert transactions.run(lambda: inventory.confirm(reservation.id, owner="test", caller=SYSTEM)) == whole

    assert whole.state == "fulfilled"
    assert fetch("SELECT on_hand, reserved, committed FROM inventory_stock ORDER BY warehouse_id") == [
        (0, 0, 0),
        (2, 0, 0),
    ]
    assert fetch("SELECT DISTINCT reason FROM inventory_movement WHERE kind = 'ship'") == [("sale",)]


def test_what_is_left_of_a_partly_shipped_reservation_can_be_released(database):
    product = factories.product(stock=5)
    reservation = confirmed((product.id, 5))
    transactions.run(
        lambda: inventory.fulfill(reservation.id, owner="test", items=[inventory.Demand(product.id, 2)], caller=SYSTEM)
    )

    rest = transactions.run(lambda: inventory.release(reservation.id, owner="test", caller=SYSTEM))

    assert rest.state == "fulfilled"
    assert (rest.lines[0].fulfilled, rest.lines[0].released) == (2, 3)
    assert stock() == (3, 0, 0, 0)


def test_more_than_is_open_is_neither_shipped_nor_released(database):
    product = factories.product(stock=5)
    reservation = confirmed((product.id, 2))

    for step in (inventory.fulfill, inventory.release):
        with pytest.raises(inventory.ExceedsOpen) as refused:
            transactions.run(
                lambda step=step: step(
                    reservation.id, owner="test", items=[inventory.Demand(product.id, 3)], caller=SYSTEM
                )
            )
        assert refused.value.shortages == [inventory.Shortage(product.id, 3, 2)]
    assert stock() == (5, 0, 2, 0)


def test_a_held_reservation_is_not_shipped(database):
    reservation = factories.reservation((factories.product(stock=5).id, 2))

    with pytest.raises(inventory.InvalidTransition):
        transactions.run(lambda: inventory.fulfill(reservation.id, owner="test", caller=SYSTEM))


@pytest.mark.parametrize(("resalable", "expected"), [(True, (4, 0, 0, 0)), (False, (4, 0, 0, 1))])
def test_shipped_units_come_back_for_sale_or_as_unavailable(database, resalable, expected):
    product = factories.product(stock=5)
    reservation = confirmed((product.id, 2))
    transactions.run(lambda: inventory.fulfill(reservation.id, owner="test", caller=SYSTEM))

    def take_back(quantity: int) -> inventory.Reservation:
        items = [inventory.Demand(product.id, quantity)]
        return inventory.take_back(
            reservation.id, owner="test", items=items, resalable=resalable, note="", caller=SYSTEM
        )

    assert transactions.run(lambda: take_back(1)).lines[0].returned == 1
    assert stock() == expected
    with pytest.raises(inventory.ExceedsOpen):
        transactions.run(lambda: take_back(2))
    assert stock() == expected


def test_expire_due_ends_each_overdue_hold_and_no_other(database):
    product = factories.product(stock=9)
    overdue = [factories.reservation((product.id, 2)) for _ in range(3)]
    young, promised = factories.reservation((product.id, 1)), confirmed((product.id, 1))
    let_the_deadline_pass(promised.id, *(reservation.id for reservation in overdue))

    assert transactions.run(lambda: inventory.expire_due(limit=2)) == 2
    assert transactions.run(lambda: inventory.expire_due(limit=2)) == 1
    assert transactions.run(lambda: inventory.expire_due(limit=2)) == 0
    assert stock() == (9, 1, 1, 0)
    assert fetch("SELECT state, count(*) FROM inventory_reservation GROUP BY state ORDER BY state") == [
        ("confirmed", 1),
        ("expired", 3),
        ("held", 1),
    ]
    assert fetch("SELECT count(DISTINCT reference) FROM inventory_movement WHERE kind = 'expire'") == [(3,)]
    with pytest.raises(inventory.InvalidTransition) as refused:
        transactions.run(lambda: inventory.confirm(overdue[0].id, owner="test", caller=SYSTEM))
    assert refused.value.current_status == "expired"
    assert young.state == "held"


def test_two_holds_of_one_stock_row_released_together_give_back_both(database):
    """Saleor lost one of them: an UPDATE ... FROM applies one of two changes to a row."""
    product = factories.product(stock=9)
    holds = [factories.reservation((product.id, 4)), factories.reservation((product.id, 5))]
    let_the_deadline_pass(*(hold.id for hold in holds))

    assert transactions.run(lambda: inventory.expire_due(limit=10)) == 2
    assert stock() == (9, 0, 0, 0)
    assert fetch("SELECT seq, reserved FROM inventory_movement ORDER BY seq") == [
        (1, 0),
        (2, 4),
        (3, 9),
        (4, 5),
        (5, 0),
    ]


def test_expiring_takes_the_same_statements_for_any_number_of_holds(database):
    product = factories.product(stock=100)
    counts = []
    for number in (1, 20):
        let_the_deadline_pass(*(factories.reservation((product.id, 1)).id for _ in range(number)))
        with counted_statements() as statements:
            assert transactions.run(lambda number=number: inventory.expire_due(limit=100)) == number
        counts.append(len(statements))

    # BEGIN, the holds, their lines and stock, lines, reservations, ledger, COMMIT.
    assert counts == [7, 7]


def test_a_page_of_reservations_is_bounded_by_its_lines(staff):
    products = [factories.product(stock=9).id for _ in range(2)]
    made = [str(factories.reservation(*((key, 1) for key in products)).id) for _ in range(3)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pages, "MAX_PARTS", 4)
        first = staff.get(f"{PATH}?page_size=200").json()
        second = staff.get(first["next"]).json()

    assert [row["id"] for row in first["results"]] == made[:0:-1]
    assert ([row["id"] for row in second["results"]], second["next"]) == ([made[0]], None)
