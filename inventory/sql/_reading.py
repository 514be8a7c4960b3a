from collections.abc import Collection
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

OVERDUE_UNITS = """
SELECT l.product_id, l.warehouse_id, sum(l.open)
  FROM inventory_reservationline l JOIN inventory_reservation r ON r.id = l.reservation_id
 WHERE l.product_id = ANY(%s) AND l.open > 0 AND r.state = 'held' AND r.expires_at <= clock_timestamp()
 GROUP BY l.product_id, l.warehouse_id
"""


def overdue_units(product_ids: Collection[int]) -> dict[tuple[int, int], int]:
    """Return the units by (product, warehouse) that holds past their deadline still claim."""
    with connection.cursor() as cursor:
        cursor.execute(OVERDUE_UNITS, [list(product_ids)])
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
       r.state = 'held' AND r.expires_at <= clock_timestamp()
  FROM inventory_reservationline l
  JOIN inventory_reservation r ON r.id = l.reservation_id
  JOIN inventory_warehouse w ON w.id = l.warehouse_id
 WHERE l.product_id = ANY(%s) AND l.open > 0 AND (%s::bigint IS NULL OR l.warehouse_id = %s)
 ORDER BY r.state DESC, r.expires_at, r.id, w.priority, w.id
 LIMIT %s
"""


def consumers(product_ids: Collection[int], *, warehouse_id: int | None, limit: int) -> list[Consumer]:
    """Return who claims units of these products, holds first, by deadline."""
    parameters: list[Any] = [list(product_ids), warehouse_id, warehouse_id, limit]
    with connection.cursor() as cursor:
        cursor.execute(CONSUMERS, parameters)
        return [Consumer(*row) for row in cursor]


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
"""


def as_of(product_id: int, at: datetime) -> dict[int, MovementRow]:
    """Return by warehouse what the ledger said of a product at a time; warehouses without a movement yet are absent."""
    with connection.cursor() as cursor:
        cursor.execute(AS_OF, [at, product_id])
        rows = [MovementRow(*row) for row in cursor]
    return {row.warehouse_id: row for row in rows}
