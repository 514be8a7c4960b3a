"""What somebody may send who means no good, or has a bad client: each refused for what it is, none a crash."""

import json

import pytest

from tests import factories
from tests.conftest import fetch

ORDERS, CHECK, PRODUCTS, USERS = "/api/v1/orders", "/api/v1/inventory/check", "/api/v1/products", "/api/v1/users"
TOKEN, ITEMS = "/api/v1/auth/token", "/api/v1/inventory/items"


def order(quantity: str) -> bytes:
    return b'{"items": [{"product_id": 1, "quantity": %s}]}' % quantity.encode()


def product(**changed: object) -> bytes:
    return json.dumps({"sku": "NEW", "name": "New", "price": "1.00", **changed}).encode()


FIELD = "items.0.quantity"
# What is sent, to where, and the field that the answer names.
REFUSED = [
    *(("POST", ORDERS, order(text), 400, "invalid", FIELD) for text in (
        '"\\uff15"', '" 7 "', '"7"', "1.0", "1e3", '"1_000"', "true", "null", "[]", "{}", "0", "-1", "1000001",
        str(2**31), str(2**63), str(2**64), "9" * 39,
    )),
    ("POST", ORDERS, order("9" * 41), 400, "malformed_json", None),
    ("POST", ORDERS, order("NaN"), 400, "malformed_json", None),
    ("POST", ORDERS, order("1e999999"), 400, "malformed_json", None),
    ("POST", ORDERS, b'{"items": [], "items": [{"product_id": 1, "quantity": 1}]}', 400, "malformed_json", None),
    ("POST", ORDERS, b'{"items": [{"product_id": 1, "quantity": 1, "price": "1"}]}', 400, "invalid", "items.0.price"),
    ("POST", ORDERS, b'{"items": [{"product_id": 1, "quantity": 1}], "status": "confirmed"}', 400, "invalid", "status"),
    ("POST", ORDERS, b'{"items": ' + b'{"a":' * 1000 + b"1" + b"}" * 1000 + b"}", 400, "malformed_json", None),
    ("POST", ORDERS, b"[" * 21 + b"]" * 21, 400, "malformed_json", None),
    ("POST", ORDERS, b'{"items": "' + b"x" * 262_144 + b'"}', 413, "payload_too_large", None),
    ("POST", ORDERS, b'{"items": []}', 400, "invalid", "items"),
    ("POST", PRODUCTS, product(name="\ud800").replace(b"\\\\", b"\\"), 400, "malformed_json", None),
    ("POST", PRODUCTS, product(name="a\0b"), 400, "invalid", "name"),
    ("POST", PRODUCTS, product(price="1,00"), 400, "invalid", "price"),
    ("POST", PRODUCTS, product(price="\uff11"), 400, "invalid", "price"),
    ("POST", PRODUCTS, product(price="1e3"), 400, "invalid", "price"),
    ("POST", PRODUCTS, product(price="-1"), 400, "invalid", "price"),
    ("POST", PRODUCTS, product(price=True), 400, "invalid", "price"),
    ("POST", PRODUCTS, product(price="9" * 30), 400, "invalid", "price"),
    ("POST", PRODUCTS, product(id=7), 400, "invalid", "id"),
    ("POST", PRODUCTS, product(sku="x" * 65), 400, "invalid", "sku"),
    ("POST", USERS, b'{"email": "a@b.example", "password": "quite good", "is_staff": 1}', 400, "invalid", "is_staff"),
    ("POST", TOKEN, b'{"email": {"$ne": null}, "password": []}', 400, "invalid", "email"),
    ("GET", f"{PRODUCTS}?page_size=1000000000", None, 400, "invalid", "page_size"),
    ("GET", f"{PRODUCTS}?page_size=0", None, 400, "invalid", "page_size"),
    ("GET", f"{PRODUCTS}?page_size=1e1", None, 400, "invalid", "page_size"),
    ("GET", f"{PRODUCTS}?page_size=%EF%BC%95", None, 400, "invalid", "page_size"),
    ("GET", f"{PRODUCTS}?ordering=password", None, 400, "invalid", "ordering"),
    ("GET", f"{PRODUCTS}?cursor=eyJ", None, 400, "invalid", "cursor"),
    ("GET", f"{PRODUCTS}?user__password__startswith=a", None, 400, "invalid", "user__password__startswith"),
    ("GET", f"{PRODUCTS}?search=a&search=b", None, 400, "invalid", "search"),
    ("GET", f"{PRODUCTS}?search=%00", None, 400, "invalid", "search"),
    *(("GET", f"{ITEMS}?low_stock={text}", None, 400, "invalid", "low_stock") for text in ("", "1", "TRUE", "on")),
    ("GET", f"{CHECK}?product_id=1&quantity=1.0", None, 400, "invalid", "quantity"),
    ("GET", f"{CHECK}?product_id={2**64}", None, 400, "invalid", "product_id"),
    ("GET", f"{PRODUCTS}/{2**63}", None, 404, "not_found", None),
    ("GET", f"{PRODUCTS}/{'9' * 400}", None, 404, "not_found", None),
    ("GET", f"{PRODUCTS}/1%00", None, 400, "invalid", ""),
    ("GET", f"{ORDERS}/abc", None, 404, "not_found", None),
    ("GET", "/api/v1/inventory/warehouses/..%2f..%2fetc", None, 404, "not_found", None),
]  # fmt: skip


def name(row: tuple) -> str:
    method, path, body, *_ = row
    return f"{method} {path[:50]} {(body or b'')[-60:].decode('ascii', 'replace')}"


@pytest.mark.parametrize(("method", "path", "body", "status", "code", "field"), REFUSED, ids=map(name, REFUSED))
def test_it_is_refused_for_what_it_is(staff, method, path, body, status, code, field):
    factories.product(stock=10)
    before = fetch("SELECT (SELECT count(*) FROM orders_order), (SELECT count(*) FROM products_product)")

    answer = staff.generic(method, path) if body is None else staff.post(path, body)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    if field is not None and code == "invalid":
        fields = [error["field"] for error in answer.json()["errors"]]
        assert any(found == field or (not field) for found in fields), fields
    assert fetch("SELECT (SELECT count(*) FROM orders_order), (SELECT count(*) FROM products_product)") == before


@pytest.mark.parametrize(("text", "found"), [("true", "LOW"), ("True", "LOW"), ("false", "FULL"), ("False", "FULL")])
def test_a_flag_is_read_as_javascript_and_python_write_it(staff, text, found):
    low = factories.product(sku="LOW", stock=1)
    factories.product(sku="FULL", stock=10)
    staff.patch(f"{ITEMS}/{low.id}/stocks/MAIN", {"reorder_point": 5})
    assert [item["sku"] for item in staff.get(f"{ITEMS}?low_stock={text}").json()["results"]] == [found]


@pytest.mark.parametrize("key", ["", "a b", "ä", "x" * 256, "a\tb"])
def test_a_key_that_is_none_is_refused(customer, key):
    mug = factories.product(stock=10)
    body = {"items": [{"product_id": mug.id, "quantity": 1}]}
    answer = customer.post(ORDERS, body, headers={"idempotency-key": key})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "Idempotency-Key")
    assert fetch("SELECT count(*) FROM orders_order") == [(0,)]


def test_ids_of_others_in_bodies_and_filters_open_nothing(database):
    mug, other = factories.product(stock=10), factories.user()
    theirs = factories.order(other, (mug.id, 1))
    customer = factories.client(factories.user())
    body = {"user_id": other.id, "items": [{"product_id": mug.id, "quantity": 1}]}
    assert customer.post(ORDERS, body).status_code == 403
    assert customer.get(f"{ORDERS}?search={theirs.number}").json()["results"] == []
    assert customer.get(f"{ORDERS}?search={other.email}").json()["results"] == []
    assert customer.get(f"{ORDERS}?user_id={other.id}").status_code == 400
    assert customer.get(f"{USERS}?search={other.email}").status_code == 403
    assert fetch("SELECT count(*) FROM orders_order") == [(1,)]
