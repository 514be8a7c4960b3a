"""Fail at the N-th statement, for every N: afterwards all or nothing, and the retry with the same key ends right."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import OperationalError, connection

from tests import factories
from tests.conftest import fetch
from tests.stock_rows import assert_books_are_right

TABLES = (
    "orders_order",
    "orders_orderline",
    "inventory_reservation",
    "inventory_reservationline",
    "inventory_stock",
    "inventory_movement",
    "toolkit_idempotencykey",
)


class Failing:
    """Fails the N-th statement that it sees, as if the connection to the database had gone."""

    def __init__(self, number: int) -> None:
        self.number, self.seen = number, 0

    def __call__(self, execute, sql, params, many, context):
        self.seen += 1
        if self.seen == self.number:
            raise OperationalError("planted: the connection is gone")
        return execute(sql, params, many, context)


@contextmanager
def failing_at(number: int) -> Iterator[Failing]:
    failing = Failing(number)
    with connection.execute_wrapper(failing):
        yield failing


def everything() -> dict[str, list[tuple]]:
    return {table: fetch(f"SELECT * FROM {table} ORDER BY 1, 2") for table in TABLES}


def order_in(client, product_id: int, *steps: str) -> str:
    items = [{"product_id": product_id, "quantity": 3}]
    order_id = client.post("/api/v1/orders", {"items": items}).json()["id"]
    for step in steps:
        assert client.post(f"/api/v1/orders/{order_id}/{step}").status_code == 200
    return order_id


STEPS = {
    # name: the steps before, the path after the order, the body, the stock and status that are right in the end
    "checkout": (None, None, None, ((10, 3, 0), "pending")),
    "confirm": ((), "confirm", {"payment_reference": "p"}, ((10, 0, 3), "confirmed")),
    "cancel": (("confirm",), "cancel", None, ((10, 0, 0), "cancelled")),
    "fulfill": (("confirm",), "fulfill", None, ((7, 0, 0), "fulfilled")),
    "return": (("confirm", "fulfill"), "return", "items", ((10, 0, 0), "fulfilled")),
}


@pytest.mark.parametrize("name", STEPS)
def test_all_or_nothing_and_the_retry_ends_right(staff, name):
    before, path, body, (stock, status) = STEPS[name]
    product = factories.product(stock=10)
    items = {"items": [{"product_id": product.id, "quantity": 3}]}
    url = "/api/v1/orders"
    if before is not None:
        url = f"{url}/{order_in(staff, product.id, *before)}/{path}"
    body = items if name == "checkout" or body == "items" else body
    start = everything()

    number, answered = 0, None
    while answered is None:
        number += 1
        with failing_at(number) as failing:
            response = staff.post(url, body, headers={"idempotency-key": "the-same"})
        if failing.seen < number:
            answered = response
        else:
            assert response.status_code == 503, (number, response.content)
            assert everything() == start, f"statement {number} left something behind"

    # The caller, the key, the work, its answer: none of them was passed over.
    assert number > 7
    assert answered.status_code in (200, 201), answered.content
    again = staff.post(url, body, headers={"idempotency-key": "the-same"})
    assert again.content == answered.content
    assert fetch("SELECT on_hand, reserved, committed FROM inventory_stock") == [stock]
    assert fetch("SELECT status FROM orders_order") == [(status,)]
    assert_books_are_right()
