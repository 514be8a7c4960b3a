"""Idempotency-Key: the first answer again, byte for byte, and the work once."""

import hashlib
import json
import threading
from collections import Counter

import httpx
import pytest
from django.db import connection, connections

from shop.toolkit.http import idempotency
from tests import factories
from tests.conftest import counted_statements, fetch

KEY = {"idempotency-key": "k-1"}


def checkout(client, product_id: int, quantity: int = 1, headers=KEY):
    return client.post("/api/v1/orders", {"items": [{"product_id": product_id, "quantity": quantity}]}, headers=headers)


def orders() -> int:
    return fetch("SELECT count(*) FROM orders_order")[0][0]


def test_the_same_key_and_body_get_the_first_answer_again(customer):
    product = factories.product(stock=9)

    first, second = checkout(customer, product.id), checkout(customer, product.id)

    assert first.status_code == second.status_code == 201
    assert second.content == first.content
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    assert second.headers["content-type"] == first.headers["content-type"] == "application/json"
    assert orders() == 1
    assert fetch("SELECT reserved FROM inventory_stock") == [(1,)]


def test_a_refusal_is_kept_too(customer):
    product = factories.product(stock=1)

    first = checkout(customer, product.id, 2)
    factories.product()
    fetch("UPDATE inventory_stock SET backorder_limit = 5 RETURNING 1")
    second = checkout(customer, product.id, 2)

    assert first.status_code == 409
    assert second.content == first.content
    assert second.headers["content-type"] == "application/problem+json"
    assert second.headers["idempotent-replayed"] == "true"
    assert orders() == 0


def test_an_empty_answer_is_replayed_empty(staff):
    product = factories.product()

    first, second = (staff.delete(f"/api/v1/products/{product.id}", headers=KEY) for _ in range(2))

    assert (first.status_code, second.status_code, second.content) == (204, 204, b"")
    assert second.headers["idempotent-replayed"] == "true"


def test_another_body_is_refused_and_the_first_answer_stays(customer):
    product = factories.product(stock=9)
    first = checkout(customer, product.id)

    other = checkout(customer, product.id, 2)

    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert checkout(customer, product.id).content == first.content
    assert orders() == 1


def test_a_key_is_of_one_user_and_one_endpoint(database):
    product = factories.product(stock=9)
    one, other = factories.client(factories.user()), factories.client(factories.user())

    mine, theirs = checkout(one, product.id).json(), checkout(other, product.id).json()
    cancelled = one.post(f"/api/v1/orders/{mine['id']}/cancel", headers=KEY)

    assert mine["id"] != theirs["id"]
    assert cancelled.json()["status"] == "cancelled"
    assert orders() == 2


def test_authorization_comes_before_the_replay(database):
    account = factories.user(is_staff=True, is_superuser=True)
    staff = factories.client(account)
    body = {"code": "EAST"}
    assert staff.post("/api/v1/inventory/warehouses", body, headers=KEY).status_code == 201
    fetch("UPDATE users_user SET is_superuser = false RETURNING 1")

    assert staff.post("/api/v1/inventory/warehouses", body, headers=KEY).status_code == 403


@pytest.mark.parametrize("key", ["", "a b", "ä", "x" * 256])
def test_a_key_that_is_none_is_a_400(customer, key):
    response = checkout(customer, factories.product(stock=1).id, headers={"idempotency-key": key})

    assert response.status_code == 400
    assert response.json()["errors"][0]["field"] == "Idempotency-Key"
    assert orders() == 0


def test_a_crash_keeps_nothing(customer):
    product = factories.product(stock=9)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE orders_orderline RENAME TO gone")
    customer.raise_request_exception = False
    try:
        assert checkout(customer, product.id).status_code == 500
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE gone RENAME TO orders_orderline")

    assert fetch("SELECT count(*) FROM toolkit_idempotencykey") == [(0,)]
    assert checkout(customer, product.id).status_code == 201


@pytest.mark.alone
def test_a_twin_of_a_request_that_is_still_at_work_is_told_so(customer):
    product = factories.product(stock=9)
    claimed, done = threading.Event(), threading.Event()
    user_id = customer.get("/api/v1/users/me").json()["id"]

    def be_at_work() -> None:
        with connection.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute(
                "INSERT INTO toolkit_idempotencykey (user_id, endpoint, key, fingerprint, content_type, created_at)"
                " VALUES (%s, 'POST /api/v1/orders', 'k-1', '', '', now())",
                [user_id],
            )
            claimed.set()
            done.wait(10)
            cursor.execute("ROLLBACK")
        connections.close_all()

    thread = threading.Thread(target=be_at_work)
    thread.start()
    claimed.wait(5)
    response = checkout(customer, product.id)
    done.set()
    thread.join()

    assert (response.status_code, response.json()["code"]) == (409, "request_in_progress")
    assert orders() == 0
    assert checkout(customer, product.id).status_code == 201


@pytest.mark.alone
def test_a_hundred_pairs_of_twins_are_a_hundred_orders(server):
    product = factories.product(stock=1000)
    token = factories.access_token(factories.user())
    headers = {"Authorization": f"Bearer {token}"}
    body = {"items": [{"product_id": product.id, "quantity": 1}]}
    answers: dict[int, list[httpx.Response]] = {number: [] for number in range(100)}
    gate = threading.Barrier(8)

    def buy(side: int) -> None:
        with httpx.Client(base_url=server, headers=headers, timeout=30) as client:
            gate.wait()
            for number in range(side // 2, 100, 4):
                answers[number].append(
                    client.post("/api/v1/orders", json=body, headers={"idempotency-key": f"k{number}"})
                )

    threads = [threading.Thread(target=buy, args=[side]) for side in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert Counter(answer.status_code for pair in answers.values() for answer in pair) == {201: 200}
    assert all(first.content == second.content for first, second in answers.values())
    replayed = [sum("idempotent-replayed" in answer.headers for answer in pair) for pair in answers.values()]
    assert replayed == [1] * 100
    assert orders() == 100
    assert fetch("SELECT reserved FROM inventory_stock") == [(100,)]


def test_a_key_costs_two_statements(customer):
    product = factories.product(stock=9)
    with counted_statements() as without:
        checkout(customer, product.id, headers={})
    with counted_statements() as with_key:
        checkout(customer, product.id)

    assert len(with_key) == len(without) + 2 == 10


def test_keys_are_kept_for_a_day_and_cleared(customer):
    product = factories.product(stock=9)
    checkout(customer, product.id)
    checkout(customer, product.id, headers={"idempotency-key": "k-2"})
    fetch("UPDATE toolkit_idempotencykey SET created_at = now() - interval '25 hours' WHERE key = 'k-1' RETURNING 1")

    again = checkout(customer, product.id)
    assert "idempotent-replayed" not in again.headers
    assert orders() == 3
    fetch("UPDATE toolkit_idempotencykey SET created_at = now() - interval '25 hours' WHERE key = 'k-2' RETURNING 1")
    idempotency.clear()
    assert fetch("SELECT key FROM toolkit_idempotencykey") == [("k-1",)]


def test_the_body_cannot_be_found_out_from_the_table(api):
    body = {"email": "anna@example.com", "password": "nine lives of a cat", "name": ""}
    api.post("/api/v1/users", body, headers={"idempotency-key": "k"})
    (fingerprint,) = fetch("SELECT fingerprint FROM toolkit_idempotencykey")[0]
    assert fingerprint != hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def test_strangers_do_not_share_their_keys(api):
    """Without a token nobody is told apart by it: one's key with another's body is another key, not a key reused."""
    people = [{"email": f"{name}@example.com", "password": factories.PASSWORD, "name": name} for name in ("ann", "ben")]
    answers = [api.post("/api/v1/users", person, headers={"idempotency-key": "1"}) for person in (*people, *people)]

    assert [answer.status_code for answer in answers] == [201] * 4
    assert [answer.json()["name"] for answer in answers] == ["ann", "ben"] * 2
    assert ["idempotent-replayed" in answer.headers for answer in answers] == [False, False, True, True]
    assert fetch("SELECT count(*) FROM users_user") == [(2,)]
