"""POST /check_stock, /update_stock and /create_order, at the root, with the bodies of the services they replace."""

import pytest
from django.contrib.auth.models import Permission

from tests import factories
from tests.conftest import fetch
from users import models as user_models


def placed(user_id: int, product: int, **change) -> dict:
    line = {"product_id": product, "quantity": 1, "unit_price": 500.0, "total_price": 500.0, **change}
    return {"user_id": user_id, "items": [line]}


def test_check_stock_is_public(api):
    product = factories.product(stock=3)

    assert api.post("/check_stock", {"product_id": product.id, "quantity": 1}).json() == {
        "product_id": product.id,
        "quantity": 1,
        "available": True,
        "available_quantity": 3,
    }
    assert api.post("/check_stock", {"product_id": 999_999, "quantity": 1}).json()["code"] == "item_not_found"


def test_update_stock_takes_units_off_by_allocation_priority(staff):
    factories.warehouse("EAST", priority=1)
    product = factories.product(stock={"MAIN": 3, "EAST": 2})
    factories.reservation((product.id, 1))

    response = staff.post("/update_stock", {"product_id": product.id, "quantity": 3})

    assert response.status_code == 200
    assert [(m["warehouse"], m["on_hand_delta"], m["reason"]) for m in response.json()["movements"]] == [
        ("MAIN", -3, "sale")
    ]
    short = staff.post("/update_stock", {"product_id": product.id, "quantity": 2})
    assert short.json()["shortages"] == [{"product_id": product.id, "requested": 2, "available": 1}]
    assert staff.post("/update_stock", {"product_id": 999_999, "quantity": 1}).status_code == 404


def test_update_stock_is_for_staff_with_the_permission(api, customer):
    body = {"product_id": factories.product(stock=3).id, "quantity": 1}

    assert api.post("/update_stock", body).status_code == 401
    assert customer.post("/update_stock", body).status_code == 403
    assert factories.client(factories.user(is_staff=True)).post("/update_stock", body).status_code == 403
    assert fetch("SELECT on_hand FROM inventory_stock") == [(3,)]


def test_create_order_reserves_and_confirms_in_one_transaction(staff):
    buyer, product = factories.user(), factories.product(stock=3, price="500.00")

    response = staff.post("/create_order", placed(buyer.id, product.id))

    assert response.status_code == 201
    assert (response.json()["status"], response.json()["total"], response.json()["user_id"]) == (
        "confirmed",
        "500.00",
        buyer.id,
    )
    assert fetch("SELECT on_hand, reserved, committed FROM inventory_stock") == [(3, 0, 1)]


def test_create_order_holds_and_does_not_promise_for_who_may_not_confirm(settings, database):
    buyer, product = factories.user(), factories.product(stock=3, price="500.00")
    client = factories.client(buyer)

    held = client.post("/create_order", placed(buyer.id, product.id))
    settings.CUSTOMERS_MAY_CONFIRM = True
    promised = client.post("/create_order", placed(buyer.id, product.id))

    assert (held.status_code, held.json()["status"], held.json()["expires_at"] is None) == (201, "pending", False)
    assert (promised.status_code, promised.json()["status"]) == (201, "confirmed")
    assert fetch("SELECT on_hand, reserved, committed FROM inventory_stock") == [(3, 1, 1)]


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"total_price": 501}, 400, "invalid"),
        ({"unit_price": 499.0, "total_price": 499.0}, 409, "price_changed"),
        ({"quantity": 4, "total_price": 2000.0}, 409, "insufficient_stock"),
        ({"product_id": 999_999}, 404, "product_not_found"),
        ({"unit_price": None}, 400, "invalid"),
        ({"unit_price": "5e2"}, 400, "invalid"),
    ],
)
def test_create_order_validates_stock_and_prices_and_leaves_nothing(database, change, status, code):
    buyer, product = factories.user(), factories.product(stock=3, price="500.00")

    response = factories.client(buyer).post("/create_order", placed(buyer.id, product.id, **change))

    assert (response.status_code, response.json()["code"]) == (status, code)
    assert fetch("SELECT count(*) FROM orders_order") == [(0,)]
    assert fetch("SELECT reserved + committed FROM inventory_stock") == [(0,)]


def test_create_order_is_for_oneself_unless_staff(staff, customer):
    other, product = factories.user(), factories.product(stock=3, price="500.00")

    assert customer.post("/create_order", placed(other.id, product.id)).status_code == 403
    assert staff.post("/create_order", placed(other.id, product.id)).json()["user_id"] == other.id
    assert staff.post("/create_order", placed(999_999, product.id)).json()["code"] == "user_not_found"


def test_staff_who_may_add_orders_place_one_for_a_buyer_who_may_confirm(settings, database):
    settings.CUSTOMERS_MAY_CONFIRM = True
    clerk, buyer = factories.user(is_staff=True), factories.user()
    row = user_models.User.objects.get(pk=clerk.id)
    row.user_permissions.add(Permission.objects.get(codename="add_order"))

    product = factories.product(stock=3, price="500.00")
    order = factories.client(clerk).post("/create_order", placed(buyer.id, product.id))

    assert (order.status_code, order.json()["status"]) == (201, "confirmed")
