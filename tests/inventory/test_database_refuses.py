"""Direct SQL that breaks an invariant, past all of our code: the database refuses each, at the latest at the commit."""

import pytest
from django.db import Error, connection, transaction

from shop.toolkit.db import transactions
from tests import factories

CHECK, UNIQUE, FOREIGN_KEY, RESTRICT, NOT_NULL = "23514", "23505", "23503", "23001", "23502"

MOVE = """
INSERT INTO inventory_movement (product_id, warehouse_id, seq, kind, reason, reference, note, created_at,
    on_hand_delta, reserved_delta, committed_delta, unavailable_delta, on_hand, reserved, committed, unavailable)
SELECT product_id, warehouse_id, {seq}, 'adjust', '', '', '', now(), {delta}, 0, 0, 0,
       {on_hand}, reserved, committed, unavailable FROM inventory_stock
"""
SECOND = """
INSERT INTO inventory_reservation (id, owner, reference, state, expires_at, created_at)
SELECT gen_random_uuid(), owner, reference, '{}', now(), now() FROM inventory_reservation
"""
LINE = "UPDATE inventory_reservationline SET "
EXPIRED = LINE + "open = 0, released = 3; UPDATE inventory_reservation SET state = 'expired', ended_at = now();"
COUNTED = (
    "INSERT INTO inventory_count (id, warehouse_id, note, opened_at, closed_at)"
    " SELECT gen_random_uuid(), id, '', now(), now() FROM inventory_warehouse;"
)

VIOLATIONS = [
    # 1. One stock row per item and warehouse, quantities in range, never oversold.
    ("INSERT INTO inventory_stock SELECT * FROM inventory_stock_copy", UNIQUE),
    ("INSERT INTO inventory_item SELECT * FROM inventory_item", UNIQUE),
    ("UPDATE inventory_stock SET on_hand = -1", CHECK),
    ("UPDATE inventory_stock SET reserved = -1", CHECK),
    ("UPDATE inventory_stock SET committed = -1", CHECK),
    ("UPDATE inventory_stock SET unavailable = -1", CHECK),
    ("UPDATE inventory_stock SET backorder_limit = 50, unavailable = 11", CHECK),
    ("UPDATE inventory_stock SET safety_stock = -1", CHECK),
    ("UPDATE inventory_stock SET reorder_point = -1", CHECK),
    ("UPDATE inventory_stock SET backorder_limit = -1", CHECK),
    ("UPDATE inventory_stock SET on_hand = 1000000001", CHECK),
    ("UPDATE inventory_stock SET reserved = 11", CHECK),
    ("UPDATE inventory_stock SET committed = 8", CHECK),
    ("UPDATE inventory_stock SET unavailable = 8", CHECK),
    ("UPDATE inventory_stock SET on_hand = 2", CHECK),
    # 2. The stock row is the head of its ledger, and the ledger is a chain.
    ("UPDATE inventory_stock SET on_hand = 11", FOREIGN_KEY),
    ("UPDATE inventory_stock SET reserved = 0", FOREIGN_KEY),
    ("UPDATE inventory_stock SET seq = 1", FOREIGN_KEY),
    ("UPDATE inventory_stock SET seq = 3", FOREIGN_KEY),
    ("UPDATE inventory_stock SET seq = 0", CHECK),
    (MOVE.format(seq=2, delta=1, on_hand=11), UNIQUE),
    (MOVE.format(seq=3, delta=1, on_hand=11), RESTRICT),
    (MOVE.format(seq=4, delta=1, on_hand=11), FOREIGN_KEY),
    (MOVE.format(seq=3, delta=2, on_hand=11), FOREIGN_KEY),
    (MOVE.format(seq=0, delta=1, on_hand=1), CHECK),
    ("UPDATE inventory_stock SET seq = 3, on_hand = 12;" + MOVE.format(seq=3, delta=1, on_hand=11), FOREIGN_KEY),
    ("UPDATE inventory_stock SET seq = 4, on_hand = 11;" + MOVE.format(seq=4, delta=1, on_hand=11), FOREIGN_KEY),
    # 3. Append-only.
    ("UPDATE inventory_movement SET note = 'better'", RESTRICT),
    ("UPDATE inventory_movement SET on_hand = 1 WHERE false", RESTRICT),
    ("DELETE FROM inventory_movement", RESTRICT),
    ("TRUNCATE inventory_movement CASCADE", RESTRICT),
    ("DELETE FROM inventory_stock", FOREIGN_KEY),
    # 4 and 5. A reservation opens once, ends once, and its lines add up.
    (SECOND.format("held"), UNIQUE),
    (SECOND.format("confirmed"), UNIQUE),
    ("UPDATE inventory_reservation SET ended_at = now()", CHECK),
    ("UPDATE inventory_reservation SET state = 'released'", CHECK),
    (SECOND.format("lost"), CHECK),
    ("DELETE FROM inventory_reservation", FOREIGN_KEY),
    (LINE + "quantity = 0, open = 0", CHECK),
    (LINE + "open = open - 1", CHECK),
    (LINE + "open = -1, released = quantity + 1", CHECK),
    (LINE + "fulfilled = 1", CHECK),
    (LINE + "returned = 1", CHECK),
    ("INSERT INTO inventory_reservationline SELECT * FROM inventory_reservationline", UNIQUE),
    # 6. An order and its lines.
    ("UPDATE orders_orderline SET total_price = total_price + 1", CHECK),
    ("UPDATE orders_orderline SET fulfilled = quantity + 1", CHECK),
    ("UPDATE orders_orderline SET fulfilled = 2, cancelled = 2", CHECK),
    ("UPDATE orders_orderline SET returned = 1", CHECK),
    ("INSERT INTO orders_order SELECT * FROM orders_order", UNIQUE),
    ("UPDATE orders_orderline SET sku = ''", CHECK),
    ("UPDATE orders_orderline SET name = ''", CHECK),
    # 8. Orders, reservations and counts move one way only.
    ("UPDATE inventory_reservation SET state = 'confirmed'; UPDATE inventory_reservation SET state = 'held'", RESTRICT),
    (EXPIRED + "UPDATE inventory_reservation SET state = 'held', ended_at = NULL", RESTRICT),
    (EXPIRED + "UPDATE inventory_reservation SET state = 'released'", RESTRICT),
    (EXPIRED + LINE + "open = 3, released = 0", RESTRICT),
    ("UPDATE orders_order SET status = 'cancelled'; UPDATE orders_order SET status = 'pending'", RESTRICT),
    ("UPDATE orders_order SET status = 'fulfilled'", RESTRICT),
    (COUNTED + "UPDATE inventory_count SET closed_at = NULL", RESTRICT),
    (COUNTED.replace("now(), now()", "now(), NULL") + "UPDATE inventory_count SET is_abandoned = true", CHECK),
    (
        COUNTED.replace("now(), now()", "now(), NULL")
        + "INSERT INTO inventory_countline (count_id, product_id, counted, book, counted_at)"
        " SELECT id, 1, 2, 2, now() FROM inventory_count; UPDATE inventory_count SET closed_at = now()",
        RESTRICT,
    ),
    ("UPDATE orders_order SET total = -1", CHECK),
    # 9. Product, item and snapshot.
    ("DELETE FROM inventory_item", FOREIGN_KEY),
    ("UPDATE orders_orderline SET sku = NULL", NOT_NULL),
    ("UPDATE products_product SET sku = ''", CHECK),
    ("UPDATE products_product SET price = -1", CHECK),
]  # fmt: skip


@pytest.fixture
def books(database) -> None:
    """One product, 10 on hand, 3 of them reserved for an order."""
    product = factories.product(stock=10)
    factories.order(factories.user(), (product.id, 3))


@pytest.mark.parametrize(("statement", "state"), VIOLATIONS)
def test_the_database_refuses(books, statement, state):
    statement = statement.replace("SELECT * FROM inventory_stock_copy", STOCK_COPY)
    with pytest.raises(Error) as caught, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)

    assert transactions.sqlstate(caught.value) == state, caught.value


STOCK_COPY = (
    "(product_id, warehouse_id, on_hand, reserved, committed, unavailable, safety_stock, backorder_limit, "
    "reorder_point, seq) SELECT product_id, warehouse_id, 0, 0, 0, 0, 0, 0, 0, 0 FROM inventory_stock"
)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE inventory_stock SET seq = 3, on_hand = 11;" + MOVE.format(seq=3, delta=1, on_hand=11),
        "UPDATE inventory_stock SET safety_stock = 4, reorder_point = 5, backorder_limit = 6",
        LINE + "open = 0, released = 3; UPDATE inventory_reservation SET state = 'expired', ended_at = now()",
    ],
)
def test_the_database_takes_what_is_right(books, statement):
    """The table above fails for its own reasons, not for one that everything would fail for."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
