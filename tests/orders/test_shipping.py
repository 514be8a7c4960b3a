"""POST /orders/{id}/fulfill and /return, orders that expire with their holds, and late confirmations."""

import time
from collections import Counter
from datetime import timedelta
from unittest.mock import ANY

import pytest
from django.contrib.auth.models import Group, Permission
from django.utils import timezone

from inventory import services as inventory
from orders import checkout, lifecycle, listing
from orders import services as orders
from shop import tasks
from shop.toolkit.callers import SYSTEM, System, User
from shop.toolkit.db import transactions
from tests import factories
from tests.conftest import counted_statements, fetch
from tests.orders.steps import confirmed, step
from tests.racing import all_at_once
from tests.stock_rows import assert_books_are_right
from users import models as user_models


def stock() -> tuple:
    return fetch("SELECT on_hand, reserved, committed, unavailable FROM inventory_stock ORDER BY product_id")[0]


def let_the_hold_pass() -> None:
    fetch("UPDATE inventory_reservation SET expires_at = created_at WHERE state = 'held' RETURNING 1")


def test_an_order_is_shipped_in_parts_and_returned(staff):
    product = factories.product(stock=10)
    order_id = confirmed(staff, (product.id, 2), (product.id, 3))

    part = step(staff, order_id, "fulfill", (product.id, 3)).json()
    assert part["status"] == "partially_fulfilled"
    assert [line["fulfilled"] for line in part["items"]] == [2, 1]
    assert stock() == (7, 0, 2, 0)

    whole = step(staff, order_id, "fulfill").json()
    assert (whole["status"], [line["fulfilled"] for line in whole["items"]]) == ("fulfilled", [2, 3])
    again = step(staff, order_id, "fulfill")
    assert (again.status_code, again.json()["current_status"]) == (409, "fulfilled")
    assert stock() == (5, 0, 0, 0)

    back = step(staff, order_id, "return", (product.id, 3)).json()
    assert (back["status"], [line["returned"] for line in back["items"]]) == ("fulfilled", [2, 1])
    assert stock() == (8, 0, 0, 0)
    step(staff, order_id, "return", (product.id, 1), resalable=False)
    assert stock() == (9, 0, 0, 1)
    too_much = step(staff, order_id, "return", (product.id, 2))
    assert (too_much.status_code, too_much.json()["shortages"]) == (
        409,
        [{"product_id": product.id, "requested": 2, "available": 1}],
    )
    assert_books_are_right()


def test_more_than_is_open_is_not_shipped(staff):
    product = factories.product(stock=10)
    order_id = confirmed(staff, (product.id, 2))

    response = step(staff, order_id, "fulfill", (product.id, 3))

    assert (response.status_code, response.json()["code"]) == (409, "invalid_transition")
    assert stock() == (10, 0, 2, 0)
    assert fetch("SELECT status, fulfilled FROM orders_order o JOIN orders_orderline l ON l.order_id = o.id") == [
        ("confirmed", 0)
    ]


def test_what_is_not_shipped_of_an_order_can_be_cancelled(staff):
    product = factories.product(stock=10)
    order_id = confirmed(staff, (product.id, 5))
    step(staff, order_id, "fulfill", (product.id, 2))

    cancelled = step(staff, order_id, "cancel").json()

    assert (cancelled["status"], cancelled["items"][0]["fulfilled"], cancelled["items"][0]["cancelled"]) == (
        "cancelled",
        2,
        3,
    )
    assert stock() == (8, 0, 0, 0)
    assert step(staff, order_id, "fulfill").json()["current_status"] == "cancelled"
    assert step(staff, order_id, "return", (product.id, 2)).json()["items"][0]["returned"] == 2
    assert stock() == (10, 0, 0, 0)
    assert_books_are_right()


def test_shipping_is_for_staff_with_the_permission(customer):
    product = factories.product(stock=10)
    order_id = confirmed(customer, (product.id, 1))
    viewer = factories.client(factories.user(is_staff=True))

    for client in (customer, viewer):
        assert step(client, order_id, "fulfill").status_code == 403
        assert step(client, order_id, "return", (product.id, 1)).status_code == 403


def test_a_pending_order_is_not_shipped(staff):
    order = factories.order(factories.user(), (factories.product(stock=3).id, 1))

    assert step(staff, order.id, "fulfill").json()["current_status"] == "pending"


@pytest.mark.parametrize("body", [{}, {"items": []}, {"items": [{"product_id": 1, "quantity": 0}]}])
def test_a_return_names_its_items(staff, body):
    order = factories.order(factories.user(), (factories.product(stock=3).id, 1))

    assert staff.post(f"/api/v1/orders/{order.id}/return", body).status_code == 400


def test_shipping_takes_the_same_statements_for_any_number_of_lines(staff):
    products = [factories.product(stock=10) for _ in range(50)]
    counts: dict[str, list[int]] = {}
    for number in (1, 50):
        lines = [(product.id, 1) for product in products[:number]]
        order_id = confirmed(staff, *lines)
        for what in ("fulfill", "return"):
            with counted_statements() as statements:
                assert step(staff, order_id, what, *lines).status_code == 200
            counts.setdefault(what, []).append(len(statements))

    assert counts["fulfill"][0] == counts["fulfill"][1]
    assert counts["return"][0] == counts["return"][1]


def test_an_order_expires_with_its_hold(staff):
    product, buyer = factories.product(stock=5), factories.user()
    order = factories.order(buyer, (product.id, 5))
    let_the_hold_pass()

    # Somebody else's checkout takes the units; the order shows it at once, its row when somebody sweeps.
    other = factories.order(factories.user(), (product.id, 1))
    shown = staff.get(f"/api/v1/orders/{order.id}").json()
    assert (shown["status"], shown["expires_at"]) == ("expired", None)
    buyer_cancels = step(factories.client(buyer), order.id, "cancel")
    assert (buyer_cancels.status_code, buyer_cancels.json()["current_status"]) == (409, "expired")

    tasks.expire_holds()
    assert dict(fetch("SELECT id, status FROM orders_order")) == {order.id: "expired", other.id: "pending"}
    assert staff.get("/api/v1/orders?status=expired").json()["results"][0]["id"] == str(order.id)
    assert_books_are_right()


@pytest.mark.parametrize("swept", [True, False])
def test_a_late_confirmation_reserves_afresh(staff, swept):
    product = factories.product(stock=5)
    order = factories.order(factories.user(), (product.id, 3))
    let_the_hold_pass()
    if swept:
        tasks.expire_holds()
    else:
        factories.order(factories.user(), (product.id, 1))
        factories.order(factories.user(), (product.id, 1))

    response = step(staff, order.id, "confirm")

    assert response.status_code == 200, response.json()
    assert response.json()["status"] == "confirmed"
    assert stock()[2] == 3
    assert_books_are_right()


def test_a_late_confirmation_says_no_when_the_units_are_gone(staff):
    product = factories.product(stock=5)
    order = factories.order(factories.user(), (product.id, 3))
    let_the_hold_pass()
    factories.order(factories.user(), (product.id, 4))

    response = step(staff, order.id, "confirm")

    assert response.json()["shortages"] == [{"product_id": product.id, "requested": 3, "available": 1}]
    assert staff.get(f"/api/v1/orders/{order.id}").json()["status"] == "expired"
    assert stock() == (5, 4, 0, 0)
    assert_books_are_right()


def passed(order_id, hours: float) -> None:
    """Let the deadline of an order's hold have passed so long ago."""
    fetch(
        "UPDATE inventory_reservation SET expires_at = clock_timestamp() - %s * interval '1 hour' FROM orders_order o"
        " WHERE o.reservation_id = inventory_reservation.id AND o.id = %s RETURNING 1",
        hours,
        order_id,
    )


@pytest.mark.parametrize("swept", [True, False])
def test_a_late_confirmation_is_bounded_in_time(staff, swept):
    product = factories.product(stock=5)
    in_time, too_late = (factories.order(factories.user(), (product.id, 1)) for _ in range(2))
    passed(in_time.id, 23.9)
    passed(too_late.id, 24.1)
    if swept:
        tasks.expire_holds()

    assert step(staff, in_time.id, "confirm").status_code == 200
    refused = step(staff, too_late.id, "confirm")

    assert (refused.status_code, refused.json()["code"], refused.json()["current_status"]) == (
        409,
        "invalid_transition",
        "expired",
    )
    assert stock()[2] == 1


@pytest.mark.parametrize("swept", [True, False])
def test_a_late_confirmation_is_not_an_option_on_an_old_price(staff, swept):
    kept, changed = factories.product(stock=5, price="3.00"), factories.product(stock=5, price="2.00")
    order = factories.order(factories.user(), (kept.id, 1), (changed.id, 2))
    staff.patch(f"/api/v1/products/{changed.id}", {"price": "2.50"})
    passed(order.id, 1)
    if swept:
        tasks.expire_holds()

    refused = step(staff, order.id, "confirm")

    assert (refused.status_code, refused.json()["code"]) == (409, "price_changed")
    assert refused.json()["price_changes"] == [
        {"product_id": changed.id, "expected": "2.00", "actual": "2.50", "currency": "EUR"}
    ]
    # At the old price again, it may.
    staff.patch(f"/api/v1/products/{changed.id}", {"price": "2.00"})
    assert step(staff, order.id, "confirm").status_code == 200


def test_a_late_confirmation_of_what_is_no_longer_on_sale_is_refused(staff):
    product = factories.product(stock=5, price="2.00")
    order = factories.order(factories.user(), (product.id, 2))
    staff.delete(f"/api/v1/products/{product.id}")
    passed(order.id, 1)

    refused = step(staff, order.id, "confirm")

    assert (refused.status_code, refused.json()["code"]) == (409, "price_changed")
    assert refused.json()["price_changes"] == [
        {"product_id": product.id, "expected": "2.00", "actual": None, "currency": "EUR"}
    ]
    assert "no longer on sale" in refused.json()["detail"]


def test_in_time_an_order_is_confirmed_at_the_price_that_the_buyer_saw(staff):
    product = factories.product(stock=5, price="2.00")
    order = factories.order(factories.user(), (product.id, 2))
    staff.patch(f"/api/v1/products/{product.id}", {"price": "9.00"})
    staff.delete(f"/api/v1/products/{product.id}")

    confirmed = step(staff, order.id, "confirm")

    assert (confirmed.status_code, confirmed.json()["total"]) == (200, "4.00")


@pytest.mark.parametrize("steps", [("fulfill",), ("part",), ("fulfill", "return")], ids="-".join)
def test_the_same_confirm_is_answered_with_the_order_as_it_is_now(staff, steps):
    product = factories.product(stock=5)
    order_id = confirmed(staff, (product.id, 3))
    for what in steps:
        lines = {"fulfill": [], "part": [(product.id, 1)], "return": [(product.id, 3)]}[what]
        assert step(staff, order_id, "fulfill" if what == "part" else what, *lines).status_code == 200
    now = staff.get(f"/api/v1/orders/{order_id}").json()

    again = staff.post(f"/api/v1/orders/{order_id}/confirm")

    assert (again.status_code, again.json()) == (200, now)


def test_staff_cancel_an_expired_order_and_nobody_confirms_it_then(staff):
    product = factories.product(stock=5)
    shown, swept = (factories.order(factories.user(), (product.id, 2)) for _ in range(2))
    passed(shown.id, 1)
    passed(swept.id, 1)
    transactions.run(lambda: inventory.expire_due(limit=1))  # its order is not told yet
    first = fetch("SELECT o.id FROM orders_order o JOIN inventory_reservation r ON r.id = o.reservation_id"
                  " WHERE r.state = 'expired'")[0][0]  # fmt: skip
    assert step(staff, first, "cancel").json()["status"] == "cancelled"
    tasks.expire_holds()
    for order_id in (shown.id, swept.id):
        cancelled = step(staff, order_id, "cancel")
        assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
        assert step(staff, order_id, "confirm").json()["current_status"] == "cancelled"
    assert stock() == (5, 0, 0, 0)
    assert_books_are_right()


def test_a_shop_that_sells_on_account_lets_customers_confirm_their_own(settings, customer):
    product = factories.product(stock=9)
    items = {"items": [{"product_id": product.id, "quantity": 1}]}
    own = customer.post("/api/v1/orders", items).json()["id"]
    other = factories.order(factories.user(), (product.id, 1)).id

    refused = customer.post(f"/api/v1/orders/{own}/confirm")
    assert (refused.status_code, refused.json()["code"]) == (403, "permission_denied")
    settings.CUSTOMERS_MAY_CONFIRM = True
    assert customer.post(f"/api/v1/orders/{own}/confirm").json()["status"] == "confirmed"
    assert customer.post(f"/api/v1/orders/{other}/confirm").status_code == 404


def test_who_may_change_orders_may_not_confirm_them_for_that(database):
    account = factories.user(is_staff=True)
    row = user_models.User.objects.get(pk=account.id)
    row.user_permissions.set(Permission.objects.filter(codename__in=["view_order", "change_order"]))
    order = factories.order(factories.user(), (factories.product(stock=9).id, 1))

    client = factories.client(account)
    assert client.post(f"/api/v1/orders/{order.id}/confirm").status_code == 403
    assert client.post(f"/api/v1/orders/{order.id}/cancel").status_code == 200


def test_a_filter_by_status_is_by_what_the_order_itself_says(staff):
    product, buyer = factories.product(stock=9), factories.user()
    ended, waits, overdue = (factories.order(buyer, (product.id, 1)) for _ in range(3))
    passed(ended.id, 1)
    transactions.run(lambda: inventory.expire_due(limit=10))  # the holds alone, so the order's row says pending
    passed(overdue.id, 1)
    swept = factories.order(buyer, (product.id, 1))
    passed(swept.id, 2)
    tasks.expire_holds()
    again = factories.order(buyer, (product.id, 1))
    passed(again.id, 1)
    transactions.run(lambda: inventory.expire_due(limit=10))
    assert dict(fetch("SELECT id, status FROM orders_order"))[again.id] == "pending"

    for client in (staff, factories.client(buyer)):
        for status in ("pending", "expired"):
            found = client.get(f"/api/v1/orders?status={status}&page_size=50").json()["results"]
            assert {order["status"] for order in found} == {status}
            expected = {waits.id} if status == "pending" else {ended.id, overdue.id, swept.id, again.id}
            assert {order["id"] for order in found} == set(map(str, expected))
    today = orders.count_by_status(since=timezone.now() - timedelta(hours=1))
    assert (today["pending"], today["expired"]) == (1, 4)


def test_prices_and_shortages_come_in_one_answer(customer):
    changed, short = factories.product(stock=5, price="2.00"), factories.product(stock=1)
    items = [
        {"product_id": changed.id, "quantity": 1, "unit_price": "1.00"},
        {"product_id": short.id, "quantity": 2},
    ]

    problem = customer.post("/api/v1/orders", {"items": items}).json()

    assert problem["code"] == "price_changed"
    assert problem["price_changes"] == [
        {"product_id": changed.id, "expected": "1.00", "actual": "2.00", "currency": "EUR"}
    ]
    assert problem["shortages"] == [{"product_id": short.id, "requested": 2, "available": 1}]
    assert fetch("SELECT count(*) FROM orders_order") == [(0,)]


@pytest.mark.alone
def test_cancel_against_fulfill_has_one_winner(database):
    for _ in range(15):
        buyer = factories.user()
        product = factories.product(stock=4)
        order = factories.order(buyer, (product.id, 4))
        who = {"caller": System(buyer.id), "now": timezone.now()}
        lifecycle.confirm_order(order.id, payment_reference="", **who)

        results = all_at_once(
            lambda order=order, who=who: lifecycle.cancel_order(order.id, **who),
            lambda order=order, who=who: lifecycle.fulfill_order(order.id, items=None, **who),
        )

        assert Counter(type(result).__name__ for result in results) == {"Order": 1, "InvalidTransition": 1}
        shipped = isinstance(results[1], listing.Order)
        assert fetch("SELECT on_hand, committed FROM inventory_stock WHERE product_id = %s", product.id) == [
            (0 if shipped else 4, 0)
        ]
    assert_books_are_right()


@pytest.mark.alone
def test_cancelling_twice_at_once_gives_back_once(database):
    buyer, product = factories.user(), factories.product(stock=5)
    order = factories.order(buyer, (product.id, 5))
    who = {"caller": User(buyer.id), "now": timezone.now()}

    results = all_at_once(*(lambda: lifecycle.cancel_order(order.id, **who) for _ in range(8)))

    assert {result.status for result in results} == {"cancelled"}
    assert stock() == (5, 0, 0, 0)
    assert fetch("SELECT count(*) FROM inventory_movement WHERE kind = 'release'") == [(1,)]
    assert fetch("SELECT count(*) FROM orders_orderevent WHERE event = 'cancelled'") == [(1,)]


@pytest.mark.alone
def test_confirm_against_the_sweeper_ends_in_one_state(database):
    for _ in range(15):
        buyer, product = factories.user(), factories.product(stock=5)
        order = factories.order(buyer, (product.id, 5))
        let_the_hold_pass()
        who = {"caller": System(buyer.id), "now": timezone.now()}

        all_at_once(
            lambda order=order, who=who: lifecycle.confirm_order(order.id, payment_reference="", **who),
            lambda who=who: orders.expire_due(limit=10, now=who["now"]),
        )

        # Before the sweeper the hold is still good; after it the units are reserved afresh, since nobody took them.
        assert listing.get_order(order.id, caller=SYSTEM).status == "confirmed"
    assert fetch("SELECT DISTINCT on_hand, reserved, committed FROM inventory_stock") == [(5, 0, 5)]
    assert_books_are_right()


@pytest.mark.alone
def test_parallel_returns_never_take_back_more_than_was_shipped(database):
    buyer, product = factories.user(), factories.product(stock=5)
    order = factories.order(buyer, (product.id, 5))
    who = {"caller": System(buyer.id), "now": timezone.now()}
    lifecycle.confirm_order(order.id, payment_reference="", **who)
    lifecycle.fulfill_order(order.id, items=None, **who)
    items = [inventory.Demand(product.id, 2)]

    results = all_at_once(
        *(lambda: lifecycle.return_items(order.id, items=items, resalable=True, note="", **who) for _ in range(6))
    )

    assert Counter(type(result).__name__ for result in results) == {"Order": 2, "ExceedsOpen": 4}
    assert stock() == (4, 0, 0, 0)
    assert_books_are_right()


def test_the_history_says_what_by_whom_when_and_why(staff):
    product, buyer = factories.product(stock=9), factories.user()
    client = factories.client(buyer)
    order_id = confirmed(client, (product.id, 3))
    step(staff, order_id, "fulfill", (product.id, 1))
    step(staff, order_id, "return", (product.id, 1), note="too blue")
    step(staff, order_id, "fulfill", (product.id, 1))
    client.post(f"/api/v1/orders/{order_id}/cancel", {"reason": "changed my mind"})
    order = client.post(f"/api/v1/orders/{order_id}/cancel", {"reason": "again"}).json()
    clerk = staff.get("/api/v1/users/me").json()["id"]

    assert [(event["event"], event["actor_id"], event["reason"]) for event in order["events"]] == [
        ("placed", buyer.id, ""),
        ("confirmed", ANY, ""),
        ("partially_fulfilled", clerk, ""),
        ("returned", clerk, "too blue"),
        ("partially_fulfilled", clerk, ""),
        ("cancelled", buyer.id, "changed my mind"),
    ]
    times = [event["created_at"] for event in order["events"]]
    assert times == sorted(times)
    assert client.get(f"/api/v1/orders/{order_id}").json() == order


def test_one_user_holds_no_more_unpaid_units_than_the_limit(settings, staff):
    settings.MAX_HELD_UNITS_PER_USER, settings.CUSTOMERS_MAY_CONFIRM = 5, True
    product, buyer = factories.product(stock=99), factories.user()
    client = factories.client(buyer)

    def checkout(quantity: int):
        return client.post("/api/v1/orders", {"items": [{"product_id": product.id, "quantity": quantity}]})

    assert checkout(6).json()["limit"] == 5
    first = checkout(3).json()["id"]
    refused = checkout(3)
    assert (refused.status_code, refused.json()["code"], refused.json()["held"]) == (409, "hold_limit_reached", 3)
    # Promised without a payment, the units still count; shipped or paid, they do not.
    told = client.post(f"/api/v1/orders/{first}/confirm", {"payment_reference": "trust me"})
    assert (told.status_code, told.json()["code"]) == (403, "permission_denied")
    client.post(f"/api/v1/orders/{first}/confirm")
    assert checkout(3).json()["held"] == 3
    step(staff, first, "fulfill", (product.id, 1))
    second = checkout(3).json()["id"]
    assert checkout(1).json()["held"] == 5
    staff.post(f"/api/v1/orders/{second}/confirm", {"payment_reference": "pay_1"})
    third = checkout(3)
    assert third.status_code == 201
    # Promised on account and paid later.
    client.post(f"/api/v1/orders/{third.json()['id']}/confirm")
    assert checkout(1).json()["held"] == 5
    paid = staff.post(f"/api/v1/orders/{third.json()['id']}/confirm", {"payment_reference": "pay_2"})
    assert (paid.status_code, paid.json()["payment_reference"]) == (200, "pay_2")
    again = staff.post(f"/api/v1/orders/{third.json()['id']}/confirm", {"payment_reference": "pay_3"})
    assert (again.status_code, again.json()["payment_reference"]) == (200, "pay_2")
    assert checkout(3).status_code == 201
    factories.order(factories.user(), (product.id, 5))


def test_what_holds_nothing_any_more_counts_against_nobody(settings, database):
    settings.MAX_HELD_UNITS_PER_USER, settings.RESERVATION_TTL_SECONDS = 5, 1
    product, buyer = factories.product(stock=99), factories.user()
    factories.order(buyer, (product.id, 5))
    with pytest.raises(orders.HoldLimitReached):
        factories.order(buyer, (product.id, 1))

    time.sleep(1.1)

    factories.order(buyer, (product.id, 5))


def test_a_late_confirm_does_not_count_its_own_order(settings, staff):
    settings.MAX_HELD_UNITS_PER_USER, settings.RESERVATION_TTL_SECONDS = 5, 1
    product, buyer = factories.product(stock=99), factories.user()
    order = factories.order(buyer, (product.id, 5))
    passed(order.id, 0.01)
    settings.RESERVATION_TTL_SECONDS = 900  # so that the order is young enough to hold something

    assert staff.post(f"/api/v1/orders/{order.id}/confirm").status_code == 200


def test_late_confirms_without_a_payment_do_not_pass_the_limit(settings, database):
    settings.MAX_HELD_UNITS_PER_USER, settings.RESERVATION_TTL_SECONDS = 5, 1
    settings.CUSTOMERS_MAY_CONFIRM = True
    product, buyer = factories.product(stock=99), factories.user()
    client = factories.client(buyer)
    placed = []
    for _ in range(2):
        placed.append(factories.order(buyer, (product.id, 4)).id)
        time.sleep(1.1)
    tasks.expire_holds()

    assert client.post(f"/api/v1/orders/{placed[0]}/confirm").status_code == 200
    refused = client.post(f"/api/v1/orders/{placed[1]}/confirm")
    assert (refused.status_code, refused.json()["code"], refused.json()["held"]) == (409, "hold_limit_reached", 4)
    paid = factories.confirmer().post(f"/api/v1/orders/{placed[1]}/confirm", {"payment_reference": "pay_2"})
    assert paid.status_code == 200


@pytest.mark.alone
def test_checkouts_at_once_do_not_pass_the_limit_together(settings, database):
    settings.MAX_HELD_UNITS_PER_USER = 5
    product, buyer = factories.product(stock=99), factories.user()

    def buy() -> listing.Order:
        wishes = [checkout.Wish(product.id, 2, None)]
        return checkout.checkout(user_id=buyer.id, wishes=wishes, caller=User(buyer.id), now=timezone.now())

    results = all_at_once(*[buy] * 8)

    assert Counter(type(result).__name__ for result in results) == {"Order": 2, "HoldLimitReached": 6}


def test_a_payment_service_confirms_everybodys_orders_and_need_not_be_staff(database):
    account = factories.user()
    user_models.User.objects.get(pk=account.id).groups.set(Group.objects.filter(name="Payments"))
    order = factories.order(factories.user(), (factories.product(stock=9).id, 1))

    client = factories.client(account)
    assert client.post(f"/api/v1/orders/{order.id}/confirm", {"payment_reference": "pay_1"}).status_code == 200
    assert client.get(f"/api/v1/orders/{order.id}").status_code == 404
    assert client.post(f"/api/v1/orders/{order.id}/cancel").status_code == 404
