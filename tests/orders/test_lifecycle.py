"""POST /orders/{id}/confirm and /cancel, GET /orders and /orders/{id}."""

import zoneinfo

import pytest
from django.utils import timezone

from orders import lifecycle, listing
from shop.toolkit.callers import SYSTEM, User
from tests import factories
from tests.conftest import counted_statements, fetch
from tests.racing import all_at_once
from tests.stock_rows import assert_books_are_right


def stock() -> tuple[int, int, int]:
    return fetch("SELECT on_hand, reserved, committed FROM inventory_stock")[0]


def test_confirm_commits_the_stock_and_keeps_the_payment_reference(database):
    buyer = factories.user()
    order = factories.order(buyer, (factories.product(stock=10).id, 4))

    response = factories.confirmer().post(f"/api/v1/orders/{order.id}/confirm", {"payment_reference": "pay_1"})

    assert response.status_code == 200
    confirmed = response.json()
    assert (confirmed["status"], confirmed["payment_reference"]) == ("confirmed", "pay_1")
    assert confirmed["expires_at"] is None
    assert stock() == (10, 0, 4)
    assert fetch("SELECT state FROM inventory_reservation") == [("confirmed",)]


def test_confirming_twice_is_harmless(database):
    buyer = factories.user()
    order = factories.order(buyer, (factories.product(stock=10).id, 4))
    client = factories.confirmer()
    first = client.post(f"/api/v1/orders/{order.id}/confirm", {"payment_reference": "pay_1"})

    second = client.post(f"/api/v1/orders/{order.id}/confirm", {"payment_reference": "pay_2"})

    assert second.json() == first.json()
    assert stock() == (10, 0, 4)


@pytest.mark.alone
def test_of_parallel_confirmations_the_first_counts(database):
    for _ in range(5):
        buyer = factories.user()
        order = factories.order(buyer, (factories.product(stock=10).id, 4))

        def confirm(reference: str, order=order, buyer=buyer) -> listing.Order:
            return lifecycle.confirm_order(
                order.id, caller=User(buyer.id), payment_reference=reference, now=timezone.now()
            )

        results = all_at_once(*(lambda number=number: confirm(f"pay_{number}") for number in range(8)))

        kept = fetch("SELECT payment_reference FROM orders_order WHERE id = %s", order.id)[0][0]
        assert {result.payment_reference for result in results} == {kept}


@pytest.mark.alone
def test_confirm_against_cancel_leaves_order_and_stock_in_step(database):
    for _ in range(20):
        buyer = factories.user()
        order = factories.order(buyer, (factories.product(stock=10).id, 4))
        who = {"caller": User(buyer.id), "now": timezone.now()}

        all_at_once(
            lambda order=order, who=who: lifecycle.confirm_order(order.id, payment_reference="p", **who),
            lambda order=order, who=who: lifecycle.cancel_order(order.id, **who),
        )

        assert listing.get_order(order.id, caller=SYSTEM).status == "cancelled"
    assert fetch("SELECT DISTINCT reserved, committed FROM inventory_stock") == [(0, 0)]
    assert_books_are_right()


def test_cancel_gives_back_what_a_pending_order_holds(database):
    buyer = factories.user()
    order = factories.order(buyer, (factories.product(stock=10).id, 4))

    response = factories.client(buyer).post(f"/api/v1/orders/{order.id}/cancel")

    assert response.json()["status"] == "cancelled"
    assert response.json()["items"][0]["cancelled"] == 4
    assert stock() == (10, 0, 0)
    assert fetch("SELECT state, ended_at IS NOT NULL FROM inventory_reservation") == [("released", True)]


def test_cancel_gives_back_what_was_promised_to_a_confirmed_order(database):
    buyer = factories.user()
    client = factories.client(buyer)
    order = factories.order(buyer, (factories.product(stock=10).id, 4))
    factories.confirmer().post(f"/api/v1/orders/{order.id}/confirm")

    first = client.post(f"/api/v1/orders/{order.id}/cancel")
    second = client.post(f"/api/v1/orders/{order.id}/cancel")

    assert first.status_code == second.status_code == 200
    assert first.json() == second.json()
    assert stock() == (10, 0, 0)
    assert fetch("SELECT kind, reserved_delta, committed_delta FROM inventory_movement WHERE seq > 1 ORDER BY seq") == [
        ("reserve", 4, 0),
        ("commit", -4, 4),
        ("release", 0, -4),
    ]


def test_a_cancelled_order_cannot_be_confirmed(database):
    buyer = factories.user()
    client = factories.client(buyer)
    order = factories.order(buyer, (factories.product(stock=10).id, 4))
    client.post(f"/api/v1/orders/{order.id}/cancel")

    response = factories.confirmer().post(f"/api/v1/orders/{order.id}/confirm")

    assert response.status_code == 409
    assert response.json()["code"] == "invalid_transition"
    assert response.json()["current_status"] == "cancelled"
    assert stock() == (10, 0, 0)


def test_the_number_of_statements_does_not_depend_on_the_number_of_lines(database):
    buyer, client = factories.user(), factories.client(factories.user(is_staff=True, is_superuser=True))
    products = [factories.product(stock=9) for _ in range(100)]
    placed = [factories.order(buyer, *((product.id, 1) for product in products[:lines])) for lines in (1, 100)]

    counts = {}
    for step in ("confirm", "cancel"):
        for order in placed:
            with counted_statements() as statements:
                assert client.post(f"/api/v1/orders/{order.id}/{step}").status_code == 200
            counts.setdefault(step, []).append(len(statements))

    assert counts["confirm"][0] == counts["confirm"][1]
    assert counts["cancel"][0] == counts["cancel"][1]


def test_another_ones_order_does_not_exist(settings, database):
    settings.CUSTOMERS_MAY_CONFIRM = True
    order = factories.order(factories.user(), (factories.product(stock=10).id, 1))
    stranger = factories.client(factories.user())
    absent = "00000000-0000-0000-0000-000000000000"

    for path, method in (("", stranger.get), ("/confirm", stranger.post), ("/cancel", stranger.post)):
        foreign = method(f"/api/v1/orders/{order.id}{path}")
        unknown = method(f"/api/v1/orders/{absent}{path}")
        assert foreign.status_code == unknown.status_code == 404
        assert foreign.json()["code"] == "order_not_found"
        assert foreign.content.replace(str(order.id).encode(), absent.encode()) == unknown.content
    assert fetch("SELECT status FROM orders_order") == [("pending",)]


def test_staff_need_the_permission_to_change_a_customers_order(database):
    order = factories.order(factories.user(), (factories.product(stock=10).id, 1))
    viewer = factories.client(factories.user(is_staff=True, group="Payments"))

    assert viewer.get(f"/api/v1/orders/{order.id}").status_code == 200
    assert viewer.post(f"/api/v1/orders/{order.id}/cancel").status_code == 404
    assert fetch("SELECT status FROM orders_order") == [("pending",)]


def test_the_list_has_ones_own_orders_newest_first_in_pages(database):
    buyer, product = factories.user(), factories.product(stock=100)
    numbers = [factories.order(buyer, (product.id, 1)).number for _ in range(5)]
    factories.order(factories.user(), (product.id, 1))
    client = factories.client(buyer)

    first = client.get("/api/v1/orders?page_size=2").json()
    second = client.get(first["next"]).json()
    third = client.get(second["next"]).json()
    back = client.get(third["previous"]).json()

    seen = [order["number"] for page in (first, second, third) for order in page["results"]]
    assert seen == numbers[::-1]
    assert first["previous"] is None
    assert third["next"] is None
    assert back["results"] == second["results"]


def test_the_list_takes_the_same_statements_for_any_number_of_orders(database):
    buyer, products = factories.user(), [factories.product(stock=100) for _ in range(3)]
    for _ in range(6):
        factories.order(buyer, *((product.id, 1) for product in products))
    client = factories.client(buyer)

    with counted_statements() as one:
        client.get("/api/v1/orders?page_size=1")
    with counted_statements() as six:
        assert len(client.get("/api/v1/orders?page_size=6").json()["results"]) == 6

    # The caller, orders, lines, reservations with theirs, events.
    assert len(one) == len(six) == 6


def test_the_list_filters_by_status(database):
    buyer, product = factories.user(), factories.product(stock=100)
    client = factories.client(buyer)
    pending, confirmed = (factories.order(buyer, (product.id, 1)) for _ in range(2))
    factories.confirmer().post(f"/api/v1/orders/{confirmed.id}/confirm")

    found = client.get("/api/v1/orders?status=pending").json()["results"]

    assert [order["id"] for order in found] == [str(pending.id)]
    assert client.get("/api/v1/orders?status=lost").json()["errors"][0]["field"] == "status"


def test_a_cursor_of_another_list_is_a_400(staff):
    for _ in range(2):
        factories.product()
    cursor = staff.get("/api/v1/products?ordering=-id&page_size=1").json()["next"].split("cursor=")[1].split("&")[0]

    for path in ("/api/v1/orders", "/api/v1/inventory/reservations"):
        response = staff.get(f"{path}?cursor={cursor}")
        assert (response.status_code, response.json()["errors"][0]["field"]) == (400, "cursor")


def test_the_list_is_searched_and_bound_in_time(staff):
    buyer, other = factories.user(email="anna@example.com"), factories.user()
    mug, jug = factories.product(sku="MUG", stock=9), factories.product(sku="JUG", stock=9)
    first, second = factories.order(buyer, (mug.id, 1)), factories.order(other, (mug.id, 1), (jug.id, 1))
    own = factories.client(other)

    def found(client, **query: str) -> list[str]:
        response = client.get("/api/v1/orders", query)
        assert response.status_code == 200, response.content
        return [order["id"] for order in response.json()["results"]]

    assert found(staff, search=first.number.lower()) == [str(first.id)]
    assert found(staff, search="MUG") == [str(second.id), str(first.id)]
    assert found(staff, search="JUG") == [str(second.id)]
    assert found(staff, search="ANNA@example.com") == [str(first.id)]
    assert found(staff, search="nothing") == []
    assert found(own, search="MUG") == [str(second.id)]
    assert found(own, search="anna@example.com") == []
    assert found(staff, created_from=second.created_at.isoformat()) == [str(second.id)]
    assert found(staff, created_to=second.created_at.isoformat()) == [str(first.id)]
    assert staff.get("/api/v1/orders?created_from=yesterday").json()["errors"][0]["field"] == "created_from"


def test_a_day_in_a_filter_is_the_whole_day_in_the_shops_time_zone(staff, settings):
    settings.TIME_ZONE = "Asia/Tokyo"
    order = factories.order(factories.user(), (factories.product(stock=1).id, 1))
    fetch("UPDATE orders_order SET created_at = '2026-03-01T15:30:00Z' RETURNING 1")  # 00:30 of March 2 in Tokyo

    def found(**bounds: str) -> bool:
        query = "&".join(f"{name}={value}" for name, value in bounds.items())
        return [row["id"] for row in staff.get(f"/api/v1/orders?{query}").json()["results"]] == [str(order.id)]

    assert found(created_from="2026-03-02", created_to="2026-03-02")
    assert not found(created_from="2026-03-03")
    assert not found(created_to="2026-03-01")
    assert found(created_from="2026-03-01T15:30:00Z")
    assert not found(created_to="2026-03-01T15:30:00Z")
    assert found(created_to="2026-03-01T16:30:00.5%2B01:00")
    assert staff.get(f"/api/v1/orders/{order.id}").json()["created_at"] == "2026-03-01T15:30:00Z"


@pytest.mark.parametrize(
    "text",
    [
        "2026-13-01",
        "2026-02-30",
        "0000-01-01",
        "9999-12-31T23:59:59-01:00",
        "2026-03-01T10:00:00",
        "20260301",
        "٢٠٢٦-03-01",
    ],
)
def test_what_is_no_time_or_day_is_refused(staff, text):
    refused = staff.get(f"/api/v1/orders?created_to={text}")

    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (400, "not_a_time")


def test_the_number_of_an_order_has_the_shops_day(settings, database):
    settings.TIME_ZONE = "Pacific/Kiritimati"  # a day ahead of UTC for most of the day
    order = factories.order(factories.user(), (factories.product(stock=1).id, 1))

    day = timezone.localtime(order.created_at, zoneinfo.ZoneInfo("Pacific/Kiritimati"))
    assert order.number.startswith(f"{day:%y%m%d}-")


def test_a_page_of_orders_is_bounded_by_its_lines(customer, settings):
    settings.MAX_HELD_UNITS_PER_USER = None
    product = factories.product(stock=1_000_000)
    line = {"product_id": product.id, "quantity": 1}
    made = [customer.post("/api/v1/orders", {"items": [line] * size}).json()["id"] for size in (1, 900, 900, 300, 2)]

    def ids(page: dict) -> list[str]:
        return [row["id"] for row in page["results"]]

    first = customer.get("/api/v1/orders?page_size=200").json()
    assert ids(first) == made[:1:-1]  # 2 + 300 + 900, the next would be too many
    second = customer.get(first["next"]).json()
    assert (ids(second), second["next"]) == ([made[1], made[0]], None)
    back = customer.get(second["previous"]).json()
    assert (ids(back), back["previous"]) == (ids(first), None)
