"""Statements that read the ledger backward in time."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from django.db import connection

from inventory.stock.levels import is_shown_sql


class MovementRow(NamedTuple):
    """The balances of one stock row after some movement."""

    warehouse_id: int
    on_hand: int
    reserved: int
    committed: int
    unavailable: int


# One index probe per warehouse, however long its history.
AS_OF = f"""
SELECT s.warehouse_id, m.on_hand, m.reserved, m.committed, m.unavailable
  FROM inventory_stock s
 CROSS JOIN LATERAL (
    SELECT * FROM inventory_movement m
     WHERE m.product_id = s.product_id AND m.warehouse_id = s.warehouse_id AND m.created_at <= %s
     ORDER BY m.created_at DESC, m.seq DESC LIMIT 1
 ) m
 WHERE s.product_id = %s
   AND {is_shown_sql("s", "m")}
"""


def as_of(product_id: int, at: datetime) -> dict[int, MovementRow]:
    """Return the balances of a product as of `at`, by warehouse.

    Warehouses without a movement by then are absent, and so are those removed since that were empty then.
    """
    with connection.cursor() as cursor:
        cursor.execute(AS_OF, [at, product_id])
        rows = [MovementRow(*row) for row in cursor]
    return {row.warehouse_id: row for row in rows}


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
    """Return (time, on hand, promised, unavailable) for each time, summed over these warehouses.

    Times before the first movement are absent.
    """
    with connection.cursor() as cursor:
        cursor.execute(HISTORY, [list(at), list(warehouse_ids), product_id])
        return [(at, on_hand, promised, unavailable) for at, on_hand, promised, unavailable in cursor]
