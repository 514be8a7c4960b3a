from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from inventory.sql._stock import Line

# The deadline is counted from the clock after the locks were won, so a wait does not eat into the buyer's time.
OPEN_RESERVATION = """
WITH opened AS (
    INSERT INTO inventory_reservation (id, owner, reference, state, actor_id, created_at, expires_at)
    VALUES (%s, %s, %s, 'held', %s, clock_timestamp(), clock_timestamp() + %s)
    RETURNING id, created_at, expires_at
), lines AS (
    INSERT INTO inventory_reservationline
           (reservation_id, product_id, warehouse_id, quantity, open, fulfilled, released, returned)
    SELECT %s, line.product_id, line.warehouse_id, line.quantity, line.quantity, 0, 0, 0
      FROM unnest(%s::bigint[], %s::bigint[], %s::int[]) AS line (product_id, warehouse_id, quantity)
)
SELECT created_at, expires_at FROM opened
"""


def open_reservation(
    reservation_id: UUID, *, owner: str, reference: str, actor_id: int | None, ttl: timedelta, lines: Sequence[Line]
) -> tuple[datetime, datetime]:
    """Insert a held reservation with its lines; return when it was opened and until when it holds."""
    columns = [list(column) for column in zip(*lines, strict=True)]
    parameters: list[Any] = [reservation_id, owner, reference, actor_id, ttl, reservation_id, *columns]
    with connection.cursor() as cursor:
        cursor.execute(OPEN_RESERVATION, parameters)
        (opened,) = cursor.fetchall()
        return opened[0], opened[1]


LOCK_RESERVATION = "SELECT state, reference, owner FROM inventory_reservation WHERE id = %s FOR NO KEY UPDATE"


def lock_reservation(reservation_id: UUID) -> tuple[str, str, str] | None:
    """Lock a reservation; return its state, reference and owner, or None when there is no such reservation."""
    with connection.cursor() as cursor:
        cursor.execute(LOCK_RESERVATION, [reservation_id])
        found = cursor.fetchone()
        return found and (found[0], found[1], found[2])


LOCK_DUE = """
SELECT id, reference FROM inventory_reservation
 WHERE state = 'held' AND expires_at <= clock_timestamp()
 ORDER BY expires_at LIMIT %s
   FOR NO KEY UPDATE SKIP LOCKED
"""


def lock_due(limit: int) -> dict[UUID, str]:
    """Lock up to `limit` holds past their deadline that nobody else is at; return their references by id."""
    with connection.cursor() as cursor:
        cursor.execute(LOCK_DUE, [limit])
        return dict(cursor.fetchall())


# Not SKIP LOCKED: a buyer is about to be told that there is no stock, so whoever is at these holds is waited for.
LOCK_OVERDUE = """
SELECT id, reference FROM inventory_reservation
 WHERE state = 'held' AND expires_at <= clock_timestamp()
   AND id IN (SELECT reservation_id FROM inventory_reservationline WHERE product_id = ANY(%s) AND open > 0)
 ORDER BY id
   FOR NO KEY UPDATE
"""


def lock_overdue(product_ids: Collection[int]) -> dict[UUID, str]:
    """Lock every hold past its deadline that claims any of these products; return their references by id."""
    with connection.cursor() as cursor:
        cursor.execute(LOCK_OVERDUE, [list(product_ids)])
        return dict(cursor.fetchall())


class ClaimedLine(NamedTuple):
    """A line of a reservation, over its locked stock row."""

    reservation_id: UUID
    product_id: int
    warehouse_id: int
    open: int
    fulfilled: int
    returned: int
    on_hand: int


LOCK_LINES = """
SELECT l.reservation_id, l.product_id, l.warehouse_id, l.open, l.fulfilled, l.returned, s.on_hand
  FROM inventory_reservationline l
  JOIN inventory_stock s ON s.product_id = l.product_id AND s.warehouse_id = l.warehouse_id
 WHERE l.reservation_id = ANY(%s)
 ORDER BY l.product_id, l.warehouse_id, l.reservation_id
   FOR NO KEY UPDATE OF s
"""


def lock_lines(reservation_ids: Collection[UUID]) -> list[ClaimedLine]:
    """Lock the stock rows under the lines of these reservations, in key order; return the lines."""
    with connection.cursor() as cursor:
        cursor.execute(LOCK_LINES, [list(reservation_ids)])
        return [ClaimedLine(*row) for row in cursor]


ADD_TO_LINES = """
UPDATE inventory_reservationline l
   SET open = l.open - part.fulfilled - part.released, fulfilled = l.fulfilled + part.fulfilled,
       released = l.released + part.released, returned = l.returned + part.returned
  FROM unnest(%s::uuid[], %s::bigint[], %s::bigint[], %s::int[], %s::int[], %s::int[])
    AS part (reservation_id, product_id, warehouse_id, fulfilled, released, returned)
 WHERE l.reservation_id = part.reservation_id AND l.product_id = part.product_id AND l.warehouse_id = part.warehouse_id
"""


def add_to_lines(parts: Sequence[tuple[UUID, Line]], *, column: str) -> None:
    """Add units to `column` of these lines, "fulfilled", "released" or "returned"; the first two come out of open."""
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


CONFIRM_RESERVATION = "UPDATE inventory_reservation SET state = 'confirmed' WHERE id = %s AND state = 'held'"


def confirm_reservation(reservation_id: UUID) -> None:
    """Move a held reservation on; its lines stay open until they are shipped or released."""
    with connection.cursor() as cursor:
        cursor.execute(CONFIRM_RESERVATION, [reservation_id])
        assert cursor.rowcount == 1, "the caller holds the lock and has seen the state"


END_RESERVATIONS = """
UPDATE inventory_reservation SET state = %s, ended_at = clock_timestamp()
 WHERE id = ANY(%s) AND state IN ('held', 'confirmed')
"""


def end_reservations(reservation_ids: Collection[UUID], *, state: str) -> None:
    """End reservations in `state`, once."""
    with connection.cursor() as cursor:
        cursor.execute(END_RESERVATIONS, [state, list(reservation_ids)])
        assert cursor.rowcount == len(reservation_ids), "the caller holds the locks and has seen the states"


# Never beyond the greatest age, and never to an earlier deadline than it has.
EXTEND_RESERVATION = """
UPDATE inventory_reservation
   SET expires_at = GREATEST(expires_at, LEAST(clock_timestamp() + %s, created_at + %s))
 WHERE id = %s AND state = 'held' AND clock_timestamp() < created_at + %s
"""


def extend_reservation(reservation_id: UUID, *, ttl: timedelta, max_age: timedelta) -> bool:
    """Put the deadline of a hold off; tell whether it was young enough."""
    parameters: list[Any] = [ttl, max_age, reservation_id, max_age]
    with connection.cursor() as cursor:
        cursor.execute(EXTEND_RESERVATION, parameters)
        return bool(cursor.rowcount)
