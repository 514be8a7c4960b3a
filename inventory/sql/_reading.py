from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.db import connection

from inventory.sql._stock import is_correction
from shop.toolkit.statements import array, prepared

OVERDUE_UNITS = """
SELECT l.product_id, l.warehouse_id, sum(l.open)
  FROM inventory_reservationline l JOIN inventory_reservation r ON r.id = l.reservation_id
 WHERE l.open > 0 AND r.state = 'held' AND r.expires_at <= statement_timestamp()
   AND r.id IN (SELECT reservation_id FROM inventory_reservationline WHERE product_id = ANY(%s::bigint[]) AND open > 0)
 GROUP BY l.product_id, l.warehouse_id
"""


def overdue_units(product_ids: Collection[int]) -> dict[tuple[int, int], int]:
    """Return the units by (product, warehouse) that would be free if the holds past their deadline on these products
    were ended, their other products included."""
    with prepared() as cursor:
        cursor.execute(OVERDUE_UNITS, [array(product_ids)])
        return {(product_id, warehouse_id): units for product_id, warehouse_id, units in cursor}


class Consumer(NamedTuple):
    """A reservation's open claim on one stock row."""

    product_id: int
    warehouse: str
    quantity: int
    reservation_id: UUID
    reference: str
    state: str
    expires_at: datetime
    is_overdue: bool


CONSUMERS = """
SELECT l.product_id, w.code, l.open, r.id, r.reference, r.state, r.expires_at,
       r.state = 'held' AND r.expires_at <= statement_timestamp()
  FROM inventory_reservationline l
  JOIN inventory_reservation r ON r.id = l.reservation_id
  JOIN inventory_warehouse w ON w.id = l.warehouse_id
  JOIN unnest(%s::bigint[], %s::bigint[]) AS row (product_id, warehouse_id)
    ON row.product_id = l.product_id AND row.warehouse_id = l.warehouse_id
 WHERE l.open > 0 AND r.state = %s
 ORDER BY r.expires_at, r.id, w.priority, w.id, l.product_id
 LIMIT %s
"""


def consumers(keys: Collection[tuple[int, int]], *, state: str, limit: int) -> list[Consumer]:
    """Return the reservations in `state` that claim units of these (product, warehouse) rows, by deadline."""
    columns = [[product_id for product_id, _ in keys], [warehouse_id for _, warehouse_id in keys]]
    with connection.cursor() as cursor:
        cursor.execute(CONSUMERS, [*columns, state, limit])
        return [Consumer(*row) for row in cursor]


CORRECTED_SINCE_COUNTED = f"""
SELECT l.product_id FROM inventory_countline l JOIN inventory_count c ON c.id = l.count_id
 WHERE l.count_id = %s AND l.posted_at IS NULL AND EXISTS (
       SELECT FROM inventory_movement m
        WHERE m.product_id = l.product_id AND m.warehouse_id = c.warehouse_id AND m.seq > l.book_seq
          AND {is_correction("m")})
"""


def corrected_since_counted(count_id: UUID) -> set[int]:
    """Return the products of a count's open lines whose stock row was corrected after they were counted."""
    with connection.cursor() as cursor:
        cursor.execute(CORRECTED_SINCE_COUNTED, [count_id])
        return {product_id for (product_id,) in cursor}


class MovementRow(NamedTuple):
    """The balances of one stock row after some movement."""

    warehouse_id: int
    on_hand: int
    reserved: int
    committed: int
    unavailable: int


# One probe of the index for each warehouse, however long its history.
AS_OF = """
SELECT s.warehouse_id, m.on_hand, m.reserved, m.committed, m.unavailable
  FROM inventory_stock s
 CROSS JOIN LATERAL (
    SELECT * FROM inventory_movement m
     WHERE m.product_id = s.product_id AND m.warehouse_id = s.warehouse_id AND m.created_at <= %s
     ORDER BY m.created_at DESC, m.seq DESC LIMIT 1
 ) m
 WHERE s.product_id = %s
   AND (s.is_listed OR m.on_hand + m.reserved + m.committed + m.unavailable > 0)
"""


HISTORY = """
SELECT point.at, sum(m.on_hand), sum(m.reserved + m.committed), sum(m.unavailable)
  FROM unnest(%s::timestamptz[]) AS point (at)
 CROSS JOIN unnest(%s::bigint[]) AS place (warehouse_id)
 CROSS JOIN LATERAL (
    SELECT * FROM inventory_movement m
     WHERE m.product_id = %s AND m.warehouse_id = place.warehouse_id AND m.created_at <= point.at
     ORDER BY m.created_at DESC, m.seq DESC LIMIT 1
 ) m
 GROUP BY point.at ORDER BY point.at
"""


def history(
    product_id: int, *, warehouse_ids: Sequence[int], at: Sequence[datetime]
) -> list[tuple[datetime, int, int, int]]:
    """Return at each time what was on hand, promised and unavailable in these warehouses together; times before the
    first movement are absent."""
    with connection.cursor() as cursor:
        cursor.execute(HISTORY, [list(at), list(warehouse_ids), product_id])
        return [(at, on_hand, promised, unavailable) for at, on_hand, promised, unavailable in cursor]


def as_of(product_id: int, at: datetime) -> dict[int, MovementRow]:
    """Return by warehouse what the ledger said of a product at a time.

    Warehouses without a movement yet are absent, and those that were removed since and held nothing.
    """
    with connection.cursor() as cursor:
        cursor.execute(AS_OF, [at, product_id])
        rows = [MovementRow(*row) for row in cursor]
    return {row.warehouse_id: row for row in rows}
