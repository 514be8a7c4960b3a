import json
import threading
from decimal import Decimal

import httpx
import pytest
from rest_framework.exceptions import ValidationError

from shop.toolkit.http.shapes import Amount
from tests import factories
from tests.conftest import counted_statements, fetch

BOOKS = (
    "orders_order",
    "orders_orderline",
    "inventory_reservation",
    "inventory_reservationline",
    "inventory_movement",
)


def books() -> dict[str, int]:
    return {table: fetch(f"SELECT count(*) FROM {table}")[0][0] for table in BOOKS}


def checkout(client, *lines: dict, **fields):
    return client.post("/api/v1/orders", {"items": list(lines), **fields})


def test_holds_the_stock_and_answers_with_the_order(customer):
    product = factories.product(sku="MUG", stock=10, price="9.90")

    response = checkout(customer, {"product_id": product.id, "quantity": 3, "unit_price": "9.90"})

    assert response.status_code == 201
    order = response.json()
    (line,) = order.pop("items")
    assert order.pop("events") == [
        {"event": "placed", "actor_id": order["user_id"], "reason": "", "created_at": order["created_at"]}
    ]
    assert line == {
        "product_id": product.id,
        "sku": "MUG",
        "name": product.name,
        "quantity": 3,
        "unit_price": "9.90",
        "total_price": "29.70",
        "fulfilled": 0,
        "returned": 0,
        "cancelled": 0,
        "waiting": 0,
        "allocations": [{"warehouse": "MAIN", "quantity": 3}],
    }
    assert (order["status"], order["currency"], order["total"], order["payment_reference"]) == (
        "pending",
        "EUR",
        "29.70",
        "",
    )
    assert order["expires_at"] > order["created_at"]
    assert set(order) == {
        "id",
        "number",
        "user_id",
        "status",
        "currency",
        "total",
        "expires_at",
        "payment_reference",
        "created_at",
        "updated_at",
    }
    assert fetch("SELECT on_hand, reserved, committed, seq FROM inventory_stock") == [(10, 3, 0, 2)]
    columns = "seq, kind, on_hand_delta, reserved_delta, on_hand, reserved, reference"
    assert fetch(f"SELECT {columns} FROM inventory_movement ORDER BY seq") == [
        (1, "receive", 10, 0, 10, 0, ""),
        (2, "reserve", 0, 3, 10, 3, order["number"]),
    ]


def test_what_was_answered_is_what_is_read_later(customer):
    product = factories.product(stock=10)
    answered = checkout(customer, {"product_id": product.id, "quantity": 3}).json()

    read = customer.get(f"/api/v1/orders/{answered['id']}").json()

    assert read == answered


def test_lines_of_one_product_are_summed_for_stock_and_kept_as_lines(customer):
    product = factories.product(stock=5)
    line = {"product_id": product.id, "quantity": 3}

    refused = checkout(customer, line, line)
    accepted = checkout(customer, line, {**line, "quantity": 2})

    assert refused.status_code == 409
    assert refused.json()["shortages"] == [{"product_id": product.id, "requested": 6, "available": 5}]
    assert [item["quantity"] for item in accepted.json()["items"]] == [3, 2]
    assert [item["allocations"] for item in accepted.json()["items"]] == [
        [{"warehouse": "MAIN", "quantity": 3}],
        [{"warehouse": "MAIN", "quantity": 2}],
    ]


def test_lines_of_one_product_share_a_split_over_warehouses_in_their_order(customer):
    factories.warehouse("EAST", priority=200)
    product = factories.product(stock={"MAIN": 4, "EAST": 4})
    line = {"product_id": product.id, "quantity": 3}

    items = checkout(customer, line, line).json()["items"]

    assert [item["allocations"] for item in items] == [
        [{"warehouse": "MAIN", "quantity": 3}],
        [{"warehouse": "MAIN", "quantity": 1}, {"warehouse": "EAST", "quantity": 2}],
    ]


def test_a_shortage_names_every_short_product_and_leaves_nothing(customer):
    enough, short, none = factories.product(stock=9), factories.product(stock=2), factories.product()
    before = books()

    response = checkout(
        customer,
        {"product_id": enough.id, "quantity": 9},
        {"product_id": short.id, "quantity": 3},
        {"product_id": none.id, "quantity": 1},
    )

    assert response.status_code == 409
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["code"] == "insufficient_stock"
    assert problem["shortages"] == [
        {"product_id": short.id, "requested": 3, "available": 2},
        {"product_id": none.id, "requested": 1, "available": 0},
    ]
    assert books() == before
    assert fetch("SELECT sum(reserved) FROM inventory_stock") == [(0,)]


def test_a_changed_price_is_refused_with_the_price_in_force(customer):
    product = factories.product(stock=9, price="12.50")
    before = books()

    response = checkout(customer, {"product_id": product.id, "quantity": 1, "unit_price": "12.49"})

    assert response.status_code == 409
    assert response.json()["code"] == "price_changed"
    assert response.json()["price_changes"] == [
        {"product_id": product.id, "expected": "12.49", "actual": "12.50", "currency": "EUR"}
    ]
    assert books() == before


@pytest.mark.parametrize("unit_price", ["12.5", "12.500", 12.5, "12.50"])
def test_the_same_amount_written_otherwise_is_the_same_price(customer, unit_price):
    product = factories.product(stock=9, price="12.50")

    response = checkout(customer, {"product_id": product.id, "quantity": 1, "unit_price": unit_price})

    assert response.status_code == 201


def test_unknown_and_archived_products_are_named_together(customer, staff):
    known, archived = factories.product(stock=9), factories.product(stock=9)
    assert staff.delete(f"/api/v1/products/{archived.id}").status_code == 204

    response = checkout(
        customer, *({"product_id": number, "quantity": 1} for number in (known.id, archived.id, 999_999))
    )

    assert response.status_code == 404
    assert response.json()["code"] == "product_not_found"
    assert response.json()["product_ids"] == [archived.id, 999_999]


def test_two_currencies_in_one_order_are_refused(customer):
    euros, yen = factories.product(stock=9), factories.product(stock=9, price="500", currency="JPY")

    response = checkout(customer, *({"product_id": product.id, "quantity": 1} for product in (euros, yen)))

    assert response.status_code == 400
    assert response.json()["errors"][0]["code"] == "mixed_currencies"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "items"),
        ({"items": []}, "items"),
        ({"items": [{"quantity": 1}]}, "items.0.product_id"),
        ({"items": [{"product_id": 1}]}, "items.0.quantity"),
        ({"items": [{"product_id": 1, "quantity": 0}]}, "items.0.quantity"),
        ({"items": [{"product_id": 1, "quantity": -1}]}, "items.0.quantity"),
        ({"items": [{"product_id": 1, "quantity": 1.0}]}, "items.0.quantity"),
        ({"items": [{"product_id": 1, "quantity": "1"}]}, "items.0.quantity"),
        ({"items": [{"product_id": 1, "quantity": True}]}, "items.0.quantity"),
        ({"items": [{"product_id": 1, "quantity": None}]}, "items.0.quantity"),
        ({"items": [{"product_id": 1, "quantity": 1_000_001}]}, "items.0.quantity"),
        ({"items": [{"product_id": 2**63, "quantity": 1}]}, "items.0.product_id"),
        ({"items": [{"product_id": 1, "quantity": 1, "unit_price": "-1"}]}, "items.0.unit_price"),
        ({"items": [{"product_id": 1, "quantity": 1, "unit_price": "1e3"}]}, "items.0.unit_price"),
        ({"items": [{"product_id": 1, "quantity": 1, "price": "1"}]}, "items.0.price"),
        ({"items": [{"product_id": 1, "quantity": 1}], "coupon": "X"}, "coupon"),
        ({"items": [{"product_id": 1, "quantity": 1}] * 1001}, "items"),
        ({"items": "all of it"}, "items"),
        ([], ""),
    ],
)
def test_a_wrong_body_is_a_400_that_names_the_field(customer, body, field):
    response = customer.post("/api/v1/orders", body)

    assert response.status_code == 400
    assert response.json()["code"] == "invalid"
    assert [error["field"] for error in response.json()["errors"]] == [field]


def test_takes_a_token(api):
    response = checkout(api, {"product_id": 1, "quantity": 1})

    assert response.status_code == 401
    assert response.json()["code"] == "not_authenticated"
    assert response.headers["www-authenticate"] == "Bearer"


def test_only_staff_may_order_for_somebody_else(customer, staff):
    product, other = factories.product(stock=9), factories.user()
    line = {"product_id": product.id, "quantity": 1}

    assert checkout(customer, line, user_id=other.id).status_code == 403
    assert checkout(staff, line, user_id=other.id).json()["user_id"] == other.id
    assert checkout(staff, line, user_id=999_999).json()["code"] == "user_not_found"


def test_the_number_of_statements_does_not_depend_on_the_number_of_lines(customer):
    products = [factories.product(stock=9) for _ in range(100)]
    lines = [{"product_id": product.id, "quantity": 1} for product in products]

    with counted_statements() as one:
        assert checkout(customer, lines[0]).status_code == 201
    with counted_statements() as hundred:
        assert checkout(customer, *lines).status_code == 201

    # The caller, BEGIN, products, order, what the buyer has unpaid, stock, reservation with its ledger rows, COMMIT.
    assert len(one) == len(hundred) == 8


@pytest.mark.alone
def test_fifty_buyers_of_the_last_unit_over_http(server):
    product = factories.product(stock=1)
    tokens = [factories.access_token(factories.user()) for _ in range(50)]
    barrier = threading.Barrier(len(tokens))
    answers = []

    def buy(token: str) -> None:
        with httpx.Client(base_url=server, headers={"Authorization": f"Bearer {token}"}, timeout=30) as client:
            barrier.wait()
            answers.append(client.post("/api/v1/orders", json={"items": [{"product_id": product.id, "quantity": 1}]}))

    threads = [threading.Thread(target=buy, args=[token]) for token in tokens]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 49
    refusals = [answer.json() for answer in answers if answer.status_code == 409]
    assert all(refusal["code"] == "insufficient_stock" for refusal in refusals)
    assert all(
        refusal["shortages"] == [{"product_id": product.id, "requested": 1, "available": 0}] for refusal in refusals
    )
    assert fetch("SELECT on_hand, reserved, seq FROM inventory_stock") == [(1, 1, 2)]
    assert fetch("SELECT count(*), sum(reserved_delta) FROM inventory_movement") == [(2, 1)]
    assert books() == {**dict.fromkeys(BOOKS, 1), "inventory_movement": 2}


def test_what_a_checkout_answers_is_what_the_order_shows_later(customer):
    """The answer is put together from what was written, the order from what is read: they are to be the same."""
    factories.warehouse("EAST", priority=200)
    split = factories.product(stock={"MAIN": 3, "EAST": 4})
    other = factories.product(price="0.50", stock=9)
    lines = [
        {"product_id": product.id, "quantity": quantity} for product, quantity in ((split, 2), (other, 1), (split, 4))
    ]

    placed = checkout(customer, *lines).json()

    assert [len(item["allocations"]) for item in placed["items"]] == [1, 1, 2]
    assert customer.get(f"/api/v1/orders/{placed['id']}").json() == placed


@pytest.mark.parametrize(
    ("number", "taken"),
    [
        ("10", "10"),
        ("9.9", "9.9"),
        ("29.700000000000003", "29.700"),  # 3 * 9.9
        ("0.30000000000000004", "0.300"),  # 0.1 + 0.2
        ("1.1500000000000001", "1.150"),
        ("89.99999999999999", "90.000"),
        ("12.34000001", "12.34"),  # a millionth of a cent
        ("1e2", "100"),
        ("12.34000002", None),
        ("12.3456", None),
        ("0.00051", None),
        ("-0.0", None),
        ("-1", None),
        ("1e12", None),
        ("999999999999.9999", None),
    ],
)
def test_a_json_number_is_the_amount_that_it_is_meant_for(number, taken):
    try:
        found = Amount().run_validation(json.loads(number, parse_float=Decimal))
    except ValidationError:
        found = None
    assert found == (taken and Decimal(taken))
    assert found is None or str(found) == taken


@pytest.mark.parametrize("text", ["29.700000000000003", "10.", "1e2", " 10", "+1", "٣"])
def test_an_amount_that_is_a_string_is_taken_as_it_is(text):
    with pytest.raises(ValidationError):
        Amount().run_validation(text)


def test_a_sum_of_floats_is_taken_over_http(staff):
    created = staff.post("/api/v1/products", {"sku": "WHOLE", "name": "x", "price": 10, "currency": "EUR"})
    assert created.json()["price"] == "10.00"
    product = factories.product(stock=9, price="9.90")
    buyer = staff.get("/api/v1/users/me").json()["id"]
    line = {"product_id": product.id, "quantity": 3, "unit_price": 9.9, "total_price": 3 * 9.9}
    placed = staff.post("/create_order", {"user_id": buyer, "items": [line]})
    assert (placed.status_code, placed.json()["total"]) == (201, "29.70")
    wrong = staff.post("/create_order", {"user_id": buyer, "items": [{**line, "total_price": 29.71}]})
    assert (wrong.status_code, wrong.json()["errors"][0]["code"]) == (400, "wrong_total")
