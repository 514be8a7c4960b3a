"""Statements that lock, read and change stock rows, and write the ledger beside them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db import DEFAULT_DB_ALIAS, connection

from inventory.stock.levels import Key, Levels, StockRow
from shop.toolkit.db.statements import array, prepared


class Line(NamedTuple):
    """Units of one product in one warehouse, as a reservation claims them."""

    product_id: int
    warehouse_id: int
    quantity: int

    @property
    def key(self) -> Key:
        """The key of its stock row."""
        return self.product_id, self.warehouse_id


STOCK_COLUMNS = """s.product_id, s.warehouse_id, w.code, w.priority, s.on_hand, s.reserved, s.committed, s.unavailable,
       s.safety_stock, s.backorder_limit"""

# Only constants are interpolated here and below; values are passed as parameters.
READ_STOCK = f"""
SELECT i.product_id, {STOCK_COLUMNS}
  FROM inventory_item i
  LEFT JOIN (inventory_stock s JOIN inventory_warehouse w ON w.id = s.warehouse_id AND w.is_active)
         ON s.product_id = i.product_id
 WHERE i.product_id = ANY(%s::bigint[]) AND i.is_active
 ORDER BY i.product_id, s.warehouse_id
"""

# Ignores the units of overdue holds, which a reserve would expire before it refused. With statement_timestamp() the
# index of deadlines finds them; clock_timestamp() may change from row to row, so every hold would be read. Here and
# below, the start of the statement is recent enough.
READ_SELLABLE = f"""
WITH overdue AS (
    SELECT l.product_id, l.warehouse_id, sum(l.open)::int AS units
      FROM inventory_reservation r JOIN inventory_reservationline l ON l.reservation_id = r.id
     WHERE r.state = 'held' AND r.expires_at <= statement_timestamp()
       AND l.product_id = ANY(%s::bigint[]) AND l.open > 0
     GROUP BY l.product_id, l.warehouse_id
)
SELECT i.product_id, {STOCK_COLUMNS.replace("s.reserved", "s.reserved - COALESCE(o.units, 0)")}
  FROM inventory_item i
  LEFT JOIN (inventory_stock s JOIN inventory_warehouse w ON w.id = s.warehouse_id AND w.is_active
             LEFT JOIN overdue o ON o.product_id = s.product_id AND o.warehouse_id = s.warehouse_id)
         ON s.product_id = i.product_id
 WHERE i.product_id = ANY(%s::bigint[]) AND i.is_active
 ORDER BY i.product_id, s.warehouse_id
"""


def read_stock(product_ids: Collection[int]) -> dict[int, list[StockRow]]:
    """Return the stock rows of each product on sale, in active warehouses, without locking them."""
    return _rows_by_product(READ_STOCK, [array(product_ids)], DEFAULT_DB_ALIAS)


def read_sellable(product_ids: Collection[int], *, using: str) -> dict[int, list[StockRow]]:
    """Return the same rows as a reserve would find them after expiring overdue holds."""
    return _rows_by_product(READ_SELLABLE, [array(product_ids)] * 2, using)


def _rows_by_product(statement: str, parameters: list[Any], using: str) -> dict[int, list[StockRow]]:
    found: dict[int, list[StockRow]] = {}
    with prepared(using) as cursor:
        cursor.execute(statement, parameters)
        for product_id, *columns in cursor.fetchall():
            rows = found.setdefault(product_id, [])
            if columns[0] is not None:
                rows.append(StockRow(*columns))
    return found


# FOR NO KEY UPDATE: plain FOR UPDATE would conflict with the foreign key checks of other buyers' inserts. After a wait
# a row is returned as the other transaction left it.
LOCK_STOCK = f"""
SELECT {STOCK_COLUMNS}
  FROM inventory_stock s JOIN inventory_warehouse w ON w.id = s.warehouse_id AND w.is_active
 WHERE s.product_id = ANY(%s::bigint[])
 ORDER BY s.product_id, s.warehouse_id
   FOR NO KEY UPDATE OF s
"""


def lock_stock(product_ids: Collection[int]) -> list[StockRow]:
    """Lock and return the rows of these products in active warehouses, in key order."""
    with prepared() as cursor:
        cursor.execute(LOCK_STOCK, [array(product_ids)])
        return [StockRow(*row) for row in cursor.fetchall()]


LOCK_WAREHOUSES = """
SELECT code, id FROM inventory_warehouse w
 WHERE code = ANY(%(codes)s)
   AND (NOT EXISTS (SELECT FROM inventory_warehousescope WHERE user_id = %(user_id)s)
        OR EXISTS (SELECT FROM inventory_warehousescope WHERE user_id = %(user_id)s AND warehouse_id = w.id))
 ORDER BY id FOR KEY SHARE OF w
"""


def lock_warehouses(codes: Collection[str], *, user_id: int | None) -> dict[str, int]:
    """Return the id of each code in the user's scope, locked so that none can be deleted before the commit."""
    with connection.cursor() as cursor:
        cursor.execute(LOCK_WAREHOUSES, {"codes": list(codes), "user_id": user_id})
        return dict(cursor.fetchall())


LOCK_LEVELS = """
SELECT s.product_id, s.warehouse_id, s.on_hand, s.reserved + s.committed, s.unavailable, s.backorder_limit, s.seq
  FROM inventory_stock s
  JOIN unnest(%s::bigint[], %s::bigint[]) AS wanted (product_id, warehouse_id) USING (product_id, warehouse_id)
 ORDER BY s.product_id, s.warehouse_id
   FOR NO KEY UPDATE OF s
"""
READ_LEVELS = LOCK_LEVELS.replace("FOR NO KEY UPDATE OF s", "")


def lock_levels(keys: Collection[Key]) -> dict[Key, Levels]:
    """Lock the rows of these (product, warehouse) keys in key order; keys without a row are absent."""
    return _levels(LOCK_LEVELS, keys)


def read_levels(keys: Collection[Key]) -> dict[Key, Levels]:
    """Return the same without locking, for display."""
    return _levels(READ_LEVELS, keys)


def _levels(statement: str, keys: Collection[Key]) -> dict[Key, Levels]:
    columns = [[product_id for product_id, _ in keys], [warehouse_id for _, warehouse_id in keys]]
    with connection.cursor() as cursor:
        cursor.execute(statement, columns)
        return {(product_id, warehouse_id): Levels(*levels) for product_id, warehouse_id, *levels in cursor}


@dataclass(frozen=True)
class Change:
    """What one movement does to one stock row, and for which reference."""

    product_id: int
    warehouse_id: int
    on_hand: int = 0
    reserved: int = 0
    committed: int = 0
    unavailable: int = 0
    reference: str = ""


def is_correction(movement: str) -> str:
    """Return the SQL condition that `movement` corrected the units on hand: by hand, by a file, or by a count.

    A count taken before a correction must not be posted after it: both may be about the same units. The kind of the
    movement decides, whatever its reason. Receipts, transfers, shipments and returns are not corrections.
    """
    is_one = f"{movement}.kind IN ('adjust', 'count') OR {movement}.import_id IS NOT NULL"
    return f"{movement}.on_hand_delta <> 0 AND ({is_one})"


# Together with RESERVE and the MERGE of an import, the only statement that changes a quantity. It updates stock rows
# and inserts their movements at once, so that neither exists without the other.
# Several changes of one row become as many movements, in the given order: an UPDATE ... FROM that matched one row twice
# would apply one change and lose the others.
# All movements get the same time, from the clock. now() is when the transaction began, which may be before an earlier
# movement.
POST_MOVEMENTS = """
WITH change AS (
    SELECT c.*, row_number() OVER row AS n,
           sum(c.on_hand) OVER row AS on_hand_so_far, sum(c.reserved) OVER row AS reserved_so_far,
           sum(c.committed) OVER row AS committed_so_far, sum(c.unavailable) OVER row AS unavailable_so_far
      FROM unnest(%s::bigint[], %s::bigint[], %s::int[], %s::int[], %s::int[], %s::int[], %s::text[]) WITH ORDINALITY
        AS c (product_id, warehouse_id, on_hand, reserved, committed, unavailable, reference, place)
    WINDOW row AS (PARTITION BY c.product_id, c.warehouse_id ORDER BY c.place)
), total AS (
    SELECT product_id, warehouse_id, count(*) AS n, sum(on_hand)::int AS on_hand, sum(reserved)::int AS reserved,
           sum(committed)::int AS committed, sum(unavailable)::int AS unavailable
      FROM change GROUP BY product_id, warehouse_id
), head AS (
    UPDATE inventory_stock s
       SET on_hand = s.on_hand + t.on_hand, reserved = s.reserved + t.reserved, committed = s.committed + t.committed,
           unavailable = s.unavailable + t.unavailable, seq = s.seq + t.n
      FROM total t
     WHERE s.product_id = t.product_id AND s.warehouse_id = t.warehouse_id
    RETURNING s.product_id, s.warehouse_id, s.seq - t.n AS seq, s.on_hand - t.on_hand AS on_hand,
              s.reserved - t.reserved AS reserved, s.committed - t.committed AS committed,
              s.unavailable - t.unavailable AS unavailable
)
INSERT INTO inventory_movement
       (product_id, warehouse_id, seq, on_hand_delta, reserved_delta, committed_delta, unavailable_delta,
        on_hand, reserved, committed, unavailable, reference, kind, reason, actor_id, note, created_at)
SELECT c.product_id, c.warehouse_id, h.seq + c.n, c.on_hand, c.reserved, c.committed, c.unavailable,
       h.on_hand + c.on_hand_so_far, h.reserved + c.reserved_so_far, h.committed + c.committed_so_far,
       h.unavailable + c.unavailable_so_far, c.reference, %s, %s, %s::bigint, %s, (SELECT clock_timestamp())
  FROM head h JOIN change c USING (product_id, warehouse_id)
RETURNING product_id, warehouse_id, seq
"""


def post_movements(
    changes: Sequence[Change], *, kind: str, reason: str = "", actor_id: int | None, note: str = ""
) -> list[tuple[int, int, int]]:
    """Apply `changes` to their stock rows, which the caller has locked, and write a ledger row for each.

    Returns the (product, warehouse, seq) keys of the movements. Raises IntegrityError when a balance would violate a
    constraint; AssertionError when a row is missing.
    """
    columns: list[Any] = [
        array(change.product_id for change in changes),
        array(change.warehouse_id for change in changes),
        array(change.on_hand for change in changes),
        array(change.reserved for change in changes),
        array(change.committed for change in changes),
        array(change.unavailable for change in changes),
        [change.reference for change in changes],
    ]
    with prepared() as cursor:
        cursor.execute(POST_MOVEMENTS, [*columns, kind, reason, actor_id, note])
        posted = [(row[0], row[1], row[2]) for row in cursor.fetchall()]
    assert len(posted) == len(changes), f"{len(changes)} changes made {len(posted)} movements"
    return posted
