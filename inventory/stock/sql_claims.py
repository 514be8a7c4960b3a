"""Statements on the lines of reservations, which claim units of stock rows."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from inventory.stock.levels import Key, sellable
from inventory.stock.sql import Line
from shop.toolkit.db.statements import prepared


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


OVERDUE_PRODUCTS = """
SELECT DISTINCT l.product_id
  FROM inventory_reservation r JOIN inventory_reservationline l ON l.reservation_id = r.id AND l.open > 0
 WHERE r.state = 'held' AND r.expires_at <= statement_timestamp()
   AND (%(everywhere)s OR l.warehouse_id = ANY(%(places)s::bigint[]))
"""


def overdue_products(*, everywhere: bool, places: Collection[int]) -> list[int]:
    """Return the products with units under overdue holds, `everywhere` or in the warehouses `places` by id."""
    with connection.cursor() as cursor:
        cursor.execute(OVERDUE_PRODUCTS, {"everywhere": everywhere, "places": list(places)})
        return [product_id for (product_id,) in cursor]


# No SKIP LOCKED: before a buyer is refused for lack of stock, wait for whoever has locked these holds.
LOCK_OVERDUE = """
SELECT id, reference FROM inventory_reservation
 WHERE state = 'held' AND expires_at <= statement_timestamp()
   AND id IN (SELECT reservation_id FROM inventory_reservationline WHERE product_id = ANY(%s) AND open > 0)
 ORDER BY id
   FOR NO KEY UPDATE
"""


def lock_overdue(product_ids: Collection[int]) -> dict[UUID, str]:
    """Lock every overdue hold that claims any of these products; return their references by id."""
    with connection.cursor() as cursor:
        cursor.execute(LOCK_OVERDUE, [list(product_ids)])
        return dict(cursor.fetchall())


CLAIMED_ROWS = """
SELECT DISTINCT product_id, warehouse_id FROM inventory_reservationline WHERE reservation_id = ANY(%s) AND open > 0
"""


def claimed_rows(reservation_ids: Collection[UUID]) -> list[Key]:
    """Return the (product, warehouse) keys of the stock rows that these reservations claim units of."""
    with connection.cursor() as cursor:
        cursor.execute(CLAIMED_ROWS, [list(reservation_ids)])
        return [(product_id, warehouse_id) for product_id, warehouse_id in cursor]


class ClaimedLine(NamedTuple):
    """A reservation line with the quantities of its locked stock row."""

    reservation_id: UUID
    product_id: int
    warehouse_id: int
    open: int
    fulfilled: int
    returned: int
    on_hand: int
    unavailable: int
    committed: int

    @property
    def key(self) -> Key:
        """The key of its stock row."""
        return self.product_id, self.warehouse_id

    @property
    def sellable(self) -> int:
        """Units on hand that are not unavailable."""
        units: int = sellable(self.on_hand, self.unavailable)
        return units


LOCK_LINES = """
SELECT l.reservation_id, l.product_id, l.warehouse_id, l.open, l.fulfilled, l.returned, s.on_hand, s.unavailable,
       s.committed
  FROM inventory_reservationline l
  JOIN inventory_stock s ON s.product_id = l.product_id AND s.warehouse_id = l.warehouse_id
 WHERE l.reservation_id = ANY(%s)
 ORDER BY l.product_id, l.warehouse_id, l.reservation_id
   FOR NO KEY UPDATE OF s
"""


def lock_lines(reservation_ids: Collection[UUID]) -> list[ClaimedLine]:
    """Lock the stock rows under the lines of these reservations, in key order; return the lines."""
    with prepared() as cursor:
        cursor.execute(LOCK_LINES, [list(reservation_ids)])
        return [ClaimedLine(*row) for row in cursor.fetchall()]


ADD_TO_LINES = """
UPDATE inventory_reservationline l
   SET open = l.open - part.fulfilled - part.released, fulfilled = l.fulfilled + part.fulfilled,
       released = l.released + part.released, returned = l.returned + part.returned
  FROM unnest(%s::uuid[], %s::bigint[], %s::bigint[], %s::int[], %s::int[], %s::int[])
    AS part (reservation_id, product_id, warehouse_id, fulfilled, released, returned)
 WHERE l.reservation_id = part.reservation_id AND l.product_id = part.product_id AND l.warehouse_id = part.warehouse_id
"""


def add_to_lines(parts: Sequence[tuple[UUID, Line]], *, column: str) -> None:
    """Add units to `column` of these lines: "fulfilled" or "released", which reduce `open`, or "returned"."""
    quantities = [part.quantity for _, part in parts]
    nothing = [0] * len(parts)
    columns: list[Any] = [
        [reservation_id for reservation_id, _ in parts],
        [part.product_id for _, part in parts],
        [part.warehouse_id for _, part in parts],
        *(quantities if name == column else nothing for name in ("fulfilled", "released", "returned")),
    ]
    with connection.cursor() as cursor:
        cursor.execute(ADD_TO_LINES, columns)
        assert cursor.rowcount == len(parts), "every part is of a line that the caller has locked"


END_RESERVATIONS = """
UPDATE inventory_reservation SET state = %s, ended_at = clock_timestamp()
 WHERE id = ANY(%s) AND state IN ('held', 'confirmed')
"""


def end_reservations(reservation_ids: Collection[UUID], *, state: str) -> None:
    """Move open reservations to the final state `state`."""
    with connection.cursor() as cursor:
        cursor.execute(END_RESERVATIONS, [state, list(reservation_ids)])
        assert cursor.rowcount == len(reservation_ids), "the caller holds the locks and has seen the states"
