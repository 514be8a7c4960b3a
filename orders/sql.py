"""Every raw statement of orders."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from shop.toolkit.db.statements import array, prepared


class NewLine(NamedTuple):
    """One line to insert; its place in the list is its position."""

    product_id: int
    sku: str
    name: str
    quantity: int
    unit_price: Decimal
    total_price: Decimal


PLACED = """
WITH placed AS (
    INSERT INTO orders_order
           (id, number, user_id, reservation_id, status, currency, total, payment_reference, created_at, updated_at)
    VALUES (%s, %s, %s, %s, 'pending', %s, %s, '', %s, %s)
), event AS (
    INSERT INTO orders_orderevent (order_id, number, event, actor_id, reason, created_at)
    VALUES (%s, 1, 'placed', %s, '', %s)
)"""
LINES = """
INSERT INTO orders_orderline
       (order_id, position, product_id, sku, name, quantity, unit_price, total_price, fulfilled, returned, cancelled)
SELECT %s, line.position, line.product_id, line.sku, line.name, line.quantity, line.unit_price, line.total_price,
       0, 0, 0
  FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::int[], %s::numeric[], %s::numeric[]) WITH ORDINALITY
    AS line (product_id, sku, name, quantity, unit_price, total_price, position)
"""
# Counts pending orders that are recent enough to hold stock, and confirmed orders without a payment reference.
UNPAID_UNITS = """
SELECT COALESCE(sum(l.quantity - l.fulfilled - l.cancelled), 0)::bigint
  FROM (
    SELECT id FROM orders_order WHERE user_id = %s AND id >= %s AND status = 'pending'
     UNION ALL
    SELECT id FROM orders_order
     WHERE user_id = %s AND payment_reference = '' AND status IN ('confirmed', 'partially_fulfilled')
  ) o JOIN orders_orderline l ON l.order_id = o.id
 WHERE o.id <> %s
"""
# One statement for the order and all its lines. The second one also counts the buyer's earlier unpaid units.
INSERT_ORDER = PLACED + LINES
INSERT_ORDER_AND_COUNT = f"{PLACED}, line AS ({LINES}) {UNPAID_UNITS}"


def insert_order(
    order_id: UUID,
    *,
    number: str,
    user_id: int,
    actor_id: int | None,
    reservation_id: UUID,
    currency: str,
    total: Decimal,
    now: datetime,
    lines: Sequence[NewLine],
    held_from: UUID | None,
) -> int:
    """Insert a pending order with its lines and its first event.

    With `held_from`, return the `unpaid_units` of its buyer without this order; otherwise 0.
    """
    product_ids, skus, names, quantities, unit_prices, total_prices = zip(*lines, strict=True)
    columns: list[Any] = [
        array(product_ids), list(skus), list(names), array(quantities), array(unit_prices), array(total_prices)
    ]  # fmt: skip
    values: list[Any] = [order_id, number, user_id, reservation_id, currency, total, now, now]
    parameters = [*values, order_id, actor_id, now, order_id, *columns]
    with prepared() as cursor:
        if held_from is None:
            cursor.execute(INSERT_ORDER, parameters)
            return 0
        cursor.execute(INSERT_ORDER_AND_COUNT, [*parameters, user_id, held_from, user_id, order_id])
        ((units,),) = cursor.fetchall()
        return int(units)


def unpaid_units(user_id: int, *, held_from: UUID, without: UUID) -> int:
    """Return how many unshipped units a user has in unpaid orders, not counting the order `without`.

    Unpaid orders are pending ones from the id `held_from` on, and confirmed ones without a payment reference.
    """
    with prepared() as cursor:
        cursor.execute(UNPAID_UNITS, [user_id, held_from, user_id, without])
        ((units,),) = cursor.fetchall()
    return int(units)


CANCEL_LINES = """
UPDATE orders_orderline SET cancelled = quantity - fulfilled WHERE order_id = %s AND quantity > fulfilled + cancelled
"""


def cancel_open_lines(order_id: UUID) -> None:
    """Mark every unit that is not shipped as cancelled."""
    with connection.cursor() as cursor:
        cursor.execute(CANCEL_LINES, [order_id])


ADD_TO_LINES = """
UPDATE orders_orderline l
   SET fulfilled = l.fulfilled + part.fulfilled, returned = l.returned + part.returned
  FROM unnest(%s::int[], %s::int[], %s::int[]) AS part (position, fulfilled, returned)
 WHERE l.order_id = %s AND l.position = part.position
"""


def add_to_lines(order_id: UUID, units: Sequence[tuple[int, int]], *, column: str) -> None:
    """Add units to `column`, "fulfilled" or "returned", of the lines at these positions."""
    quantities = [quantity for _, quantity in units]
    nothing = [0] * len(units)
    parameters: list[Any] = [
        [position for position, _ in units],
        quantities if column == "fulfilled" else nothing,
        quantities if column == "returned" else nothing,
        order_id,
    ]
    with connection.cursor() as cursor:
        cursor.execute(ADD_TO_LINES, parameters)


MOVE_ORDER = """
WITH moved AS (
    UPDATE orders_order SET status = %(status)s, payment_reference = %(payment_reference)s,
           reservation_id = %(reservation_id)s, updated_at = %(now)s
     WHERE id = %(id)s RETURNING id
)
INSERT INTO orders_orderevent (order_id, number, event, actor_id, reason, created_at)
SELECT moved.id, (SELECT max(number) + 1 FROM orders_orderevent WHERE order_id = moved.id), %(event)s,
       %(actor_id)s, %(reason)s, %(now)s
  FROM moved
"""


def move_order(
    order_id: UUID,
    *,
    status: str,
    payment_reference: str,
    reservation_id: UUID,
    event: str,
    actor_id: int | None,
    reason: str,
    now: datetime,
) -> None:
    """Set the status of an order that the caller has locked, and add the event to its history."""
    parameters: dict[str, Any] = {
        "id": order_id,
        "status": status,
        "payment_reference": payment_reference,
        "reservation_id": reservation_id,
        "event": event,
        "actor_id": actor_id,
        "reason": reason,
        "now": now,
    }
    with prepared() as cursor:
        cursor.execute(MOVE_ORDER, parameters)
        assert cursor.rowcount == 1, "the caller has locked the order"


RECORD_EVENT = """
INSERT INTO orders_orderevent (order_id, number, event, actor_id, reason, created_at)
SELECT o.id, (SELECT max(number) + 1 FROM orders_orderevent e WHERE e.order_id = o.id), %s, %s::bigint, %s, %s
  FROM unnest(%s::uuid[]) AS o (id)
"""


def record_event(order_ids: Sequence[UUID], *, event: str, actor_id: int | None, reason: str, now: datetime) -> None:
    """Add an event to the histories of these orders, which the caller has locked."""
    parameters: list[Any] = [event, actor_id, reason, now, list(order_ids)]
    with prepared() as cursor:
        cursor.execute(RECORD_EVENT, parameters)
