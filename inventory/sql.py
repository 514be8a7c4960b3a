"""Every raw statement of inventory. Sets in, sets out: one statement whatever the number of lines.

Locks on stock rows are taken here and nowhere else, always in the order of the primary key.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection


class StockRow(NamedTuple):
    """A stock row of an active warehouse, as one statement saw it."""

    product_id: int
    warehouse_id: int
    warehouse: str
    priority: int
    on_hand: int
    reserved: int
    committed: int
    unavailable: int
    safety_stock: int
    backorder_limit: int

    @property
    def available_to_promise(self) -> int:
        """Units that a new reservation may claim. The one definition that check, preview and reserve share."""
        free = self.on_hand - self.unavailable - self.safety_stock - self.reserved - self.committed
        return max(0, free + self.backorder_limit)


class Line(NamedTuple):
    """Units of one product in one warehouse, as a reservation claims them."""

    product_id: int
    warehouse_id: int
    quantity: int


STOCK_COLUMNS = """s.product_id, s.warehouse_id, w.code, w.priority, s.on_hand, s.reserved, s.committed, s.unavailable,
       s.safety_stock, s.backorder_limit"""

# Only constants are put together here and below; values go in as parameters.
READ_STOCK = f"""
SELECT i.product_id, {STOCK_COLUMNS}
  FROM inventory_item i
  LEFT JOIN (inventory_stock s JOIN inventory_warehouse w ON w.id = s.warehouse_id AND w.is_active)
         ON s.product_id = i.product_id
 WHERE i.product_id = ANY(%s)
 ORDER BY i.product_id, s.warehouse_id
"""


def read_stock(product_ids: Collection[int]) -> dict[int, list[StockRow]]:
    """Return the sellable rows of each product that has an inventory item, without locking."""
    found: dict[int, list[StockRow]] = {}
    with connection.cursor() as cursor:
        cursor.execute(READ_STOCK, [list(product_ids)])
        for product_id, *columns in cursor:
            rows = found.setdefault(product_id, [])
            if columns[0] is not None:
                rows.append(StockRow(*columns))
    return found


# FOR NO KEY UPDATE: plain FOR UPDATE would collide with the foreign key checks of other buyers' inserts. A row that had
# to be waited for comes back as the winner left it.
LOCK_STOCK = f"""
SELECT {STOCK_COLUMNS}
  FROM inventory_stock s JOIN inventory_warehouse w ON w.id = s.warehouse_id AND w.is_active
 WHERE s.product_id = ANY(%s)
 ORDER BY s.product_id, s.warehouse_id
   FOR NO KEY UPDATE OF s
"""


def lock_stock(product_ids: Collection[int]) -> list[StockRow]:
    """Lock and return the sellable rows of these products, in key order."""
    with connection.cursor() as cursor:
        cursor.execute(LOCK_STOCK, [list(product_ids)])
        return [StockRow(*row) for row in cursor]


LOCK_LEVELS = """
SELECT s.product_id, s.warehouse_id, s.on_hand
  FROM inventory_stock s
  JOIN unnest(%s::bigint[], %s::bigint[]) AS wanted (product_id, warehouse_id) USING (product_id, warehouse_id)
 ORDER BY s.product_id, s.warehouse_id
   FOR NO KEY UPDATE OF s
"""


def lock_levels(keys: Collection[tuple[int, int]]) -> dict[tuple[int, int], int]:
    """Lock the rows of these (product, warehouse) keys in key order; return what is on hand in each."""
    with connection.cursor() as cursor:
        cursor.execute(
            LOCK_LEVELS, [[product_id for product_id, _ in keys], [warehouse_id for _, warehouse_id in keys]]
        )
        return {(product_id, warehouse_id): on_hand for product_id, warehouse_id, on_hand in cursor}


LOCK_OPEN_LINES = """
SELECT l.product_id, l.warehouse_id, l.open
  FROM inventory_reservationline l
  JOIN inventory_stock s ON s.product_id = l.product_id AND s.warehouse_id = l.warehouse_id
 WHERE l.reservation_id = %s AND l.open > 0
 ORDER BY l.product_id, l.warehouse_id
   FOR NO KEY UPDATE OF s
"""


def lock_open_lines(reservation_id: UUID) -> list[Line]:
    """Lock the stock rows under a reservation's open lines, in key order; return the lines."""
    with connection.cursor() as cursor:
        cursor.execute(LOCK_OPEN_LINES, [reservation_id])
        return [Line(*row) for row in cursor]


@dataclass(frozen=True)
class Change:
    """What one movement does to one stock row."""

    product_id: int
    warehouse_id: int
    on_hand_delta: int = 0
    reserved_delta: int = 0
    committed_delta: int = 0
    unavailable_delta: int = 0


CHANGE_COLUMNS = tuple(field.name for field in fields(Change))

# The only statement that changes a quantity: the row and its ledger entry in one, so neither is without the other.
# The time is the clock's, not now(): that is when the transaction began, which may be before an earlier movement.
POST_MOVEMENTS = """
WITH change AS (
    SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::int[], %s::int[], %s::int[], %s::int[])
        AS c (product_id, warehouse_id, on_hand_delta, reserved_delta, committed_delta, unavailable_delta)
), head AS (
    UPDATE inventory_stock s
       SET on_hand = s.on_hand + c.on_hand_delta,
           reserved = s.reserved + c.reserved_delta,
           committed = s.committed + c.committed_delta,
           unavailable = s.unavailable + c.unavailable_delta,
           seq = s.seq + 1
      FROM change c
     WHERE s.product_id = c.product_id AND s.warehouse_id = c.warehouse_id
    RETURNING s.product_id, s.warehouse_id, s.seq,
              c.on_hand_delta, c.reserved_delta, c.committed_delta, c.unavailable_delta,
              s.on_hand, s.reserved, s.committed, s.unavailable
)
INSERT INTO inventory_movement
       (product_id, warehouse_id, seq, on_hand_delta, reserved_delta, committed_delta, unavailable_delta,
        on_hand, reserved, committed, unavailable, kind, reason, reference, actor_id, note, created_at)
SELECT head.*, %s, %s, %s, %s::bigint, %s, clock_timestamp() FROM head
"""


def post_movements(
    changes: Sequence[Change], *, kind: str, reason: str, reference: str, actor_id: int | None, note: str
) -> None:
    """Apply `changes` to their stock rows, which the caller has locked, and write a ledger row for each.

    Raises IntegrityError when a balance would break a constraint; AssertionError when a row is missing.
    """
    columns = [[getattr(change, name) for change in changes] for name in CHANGE_COLUMNS]
    with connection.cursor() as cursor:
        cursor.execute(POST_MOVEMENTS, [*columns, kind, reason, reference, actor_id, note])
        assert cursor.rowcount == len(changes), f"{len(changes)} changes met {cursor.rowcount} stock rows"


# The deadline is counted from the clock after the locks were won, so a wait does not eat into the buyer's time.
OPEN_RESERVATION = """
WITH opened AS (
    INSERT INTO inventory_reservation (id, reference, state, actor_id, created_at, expires_at)
    VALUES (%s, %s, 'held', %s, clock_timestamp(), clock_timestamp() + %s)
    RETURNING id, created_at, expires_at
), lines AS (
    INSERT INTO inventory_reservationline
           (reservation_id, product_id, warehouse_id, quantity, open, fulfilled, released)
    SELECT %s, line.product_id, line.warehouse_id, line.quantity, line.quantity, 0, 0
      FROM unnest(%s::bigint[], %s::bigint[], %s::int[]) AS line (product_id, warehouse_id, quantity)
)
SELECT created_at, expires_at FROM opened
"""


def open_reservation(
    reservation_id: UUID, *, reference: str, actor_id: int | None, ttl: timedelta, lines: Sequence[Line]
) -> tuple[datetime, datetime]:
    """Insert a held reservation with its lines; return when it was opened and until when it holds."""
    columns = [list(column) for column in zip(*lines, strict=True)]
    with connection.cursor() as cursor:
        parameters: list[Any] = [reservation_id, reference, actor_id, ttl, reservation_id, *columns]
        cursor.execute(OPEN_RESERVATION, parameters)
        (opened,) = cursor.fetchall()
        return opened[0], opened[1]


LOCK_RESERVATION = "SELECT state, reference FROM inventory_reservation WHERE id = %s FOR NO KEY UPDATE"


def lock_reservation(reservation_id: UUID) -> tuple[str, str] | None:
    """Lock a reservation; return its state and reference, or None when there is no such reservation."""
    with connection.cursor() as cursor:
        cursor.execute(LOCK_RESERVATION, [reservation_id])
        found = cursor.fetchone()
        return found and (found[0], found[1])


CONFIRM_RESERVATION = "UPDATE inventory_reservation SET state = 'confirmed' WHERE id = %s AND state = 'held'"


def confirm_reservation(reservation_id: UUID) -> None:
    """Move a held reservation on; its lines stay open until they are shipped."""
    with connection.cursor() as cursor:
        cursor.execute(CONFIRM_RESERVATION, [reservation_id])
        assert cursor.rowcount == 1, "the caller holds the lock and has seen the state"


RELEASE_RESERVATION = """
WITH lines AS (
    UPDATE inventory_reservationline SET released = released + open, open = 0 WHERE reservation_id = %s AND open > 0
)
UPDATE inventory_reservation SET state = 'released', ended_at = clock_timestamp()
 WHERE id = %s AND state IN ('held', 'confirmed')
"""


def release_reservation(reservation_id: UUID) -> None:
    """End a reservation and give up all that is open of it."""
    with connection.cursor() as cursor:
        cursor.execute(RELEASE_RESERVATION, [reservation_id, reservation_id])
        assert cursor.rowcount == 1, "the caller holds the lock and has seen the state"
