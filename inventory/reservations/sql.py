"""Statements that create, read and change reservations."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from inventory.stock.levels import Key, sellable_sql
from inventory.stock.sql import Line
from inventory.stock.sql_claims import Consumer
from shop.toolkit.db.statements import array, prepared

OVERDUE_UNITS = """
SELECT l.product_id, l.warehouse_id, sum(l.open)
  FROM inventory_reservationline l JOIN inventory_reservation r ON r.id = l.reservation_id
 WHERE l.open > 0 AND r.state = 'held' AND r.expires_at <= statement_timestamp()
   AND r.id IN (SELECT reservation_id FROM inventory_reservationline WHERE product_id = ANY(%s::bigint[]) AND open > 0)
 GROUP BY l.product_id, l.warehouse_id
"""


def overdue_units(product_ids: Collection[int]) -> dict[tuple[int, int], int]:
    """Return the units by (product, warehouse) that expiring the overdue holds on these products would free.

    Other products of the same holds are included.
    """
    with prepared() as cursor:
        cursor.execute(OVERDUE_UNITS, [array(product_ids)])
        return {(product_id, warehouse_id): units for product_id, warehouse_id, units in cursor}


# Everything that a reserve writes, in one statement: the stock rows are locked by now, and each round trip keeps them
# locked longer. A plan has each row once, so the window functions of POST_MOVEMENTS are not needed.
# The deadline counts from the clock after the locks are held, so that waiting for locks does not shorten the hold.
RESERVE = """
WITH opened AS (
    INSERT INTO inventory_reservation (id, owner, reference, state, actor_id, created_at, expires_at)
    VALUES (%(id)s, %(owner)s, %(reference)s, 'held', %(actor_id)s, clock_timestamp(), clock_timestamp() + %(ttl)s)
    RETURNING created_at, expires_at
), line AS (
    SELECT * FROM unnest(%(products)s::bigint[], %(warehouses)s::bigint[], %(quantities)s::int[])
                  AS line (product_id, warehouse_id, quantity)
), claimed AS (
    INSERT INTO inventory_reservationline
           (reservation_id, product_id, warehouse_id, quantity, open, fulfilled, released, returned)
    SELECT %(id)s, product_id, warehouse_id, quantity, quantity, 0, 0, 0 FROM line
), head AS (
    UPDATE inventory_stock s SET reserved = s.reserved + line.quantity, seq = s.seq + 1
      FROM line WHERE s.product_id = line.product_id AND s.warehouse_id = line.warehouse_id
    RETURNING s.product_id, s.warehouse_id, s.seq, line.quantity, s.on_hand, s.reserved, s.committed, s.unavailable
), booked AS (
    INSERT INTO inventory_movement
           (product_id, warehouse_id, seq, on_hand_delta, reserved_delta, committed_delta, unavailable_delta,
            on_hand, reserved, committed, unavailable, reference, kind, reason, actor_id, note, created_at)
    SELECT head.product_id, head.warehouse_id, head.seq, 0, head.quantity, 0, 0,
           head.on_hand, head.reserved, head.committed, head.unavailable, %(reference)s, 'reserve', '', %(actor_id)s,
           '', opened.created_at
      FROM head, opened
    RETURNING 1
)
SELECT created_at, expires_at, (SELECT count(*) FROM booked) FROM opened
"""


def reserve(
    reservation_id: UUID, *, owner: str, reference: str, actor_id: int | None, ttl: timedelta, lines: Sequence[Line]
) -> tuple[datetime, datetime]:
    """Claim lines on locked stock rows: insert the held reservation, update the rows, write a movement for each.

    Returns when it was created and its deadline. Raises IntegrityError when the reference has an open reservation.
    """
    products, warehouses, quantities = zip(*lines, strict=True)
    parameters: dict[str, Any] = {
        "id": reservation_id,
        "owner": owner,
        "reference": reference,
        "actor_id": actor_id,
        "ttl": ttl,
        "products": array(products),
        "warehouses": array(warehouses),
        "quantities": array(quantities),
    }
    with prepared() as cursor:
        cursor.execute(RESERVE, parameters)
        ((created_at, expires_at, booked),) = cursor.fetchall()
    assert booked == len(lines), f"{len(lines)} lines met {booked} stock rows"
    return created_at, expires_at


# The order of promises: by the time of confirmation, with a tie-break. While servers of the previous release are still
# running, they confirm without a time.
TURN = "(COALESCE({0}.confirmed_at, {0}.created_at), {0}.id)"
# The stock nearly always covers all promises; then no other promise is read.
READY = f"""
       CASE WHEN r.state <> 'confirmed' THEN 0
            WHEN s.committed <= {sellable_sql("s")} THEN l.open
            ELSE GREATEST(0, LEAST(l.open, {sellable_sql("s")} - COALESCE((
                 SELECT sum(before.open) FROM inventory_reservationline before
                   JOIN inventory_reservation older ON older.id = before.reservation_id AND older.state = 'confirmed'
                  WHERE before.product_id = l.product_id AND before.warehouse_id = l.warehouse_id AND before.open > 0
                    AND {TURN.format("older")} < {TURN.format("r")}), 0))) END::int
"""
READ_RESERVATIONS = f"""
SELECT r.id, r.reference, r.state, r.created_at, r.expires_at, r.ended_at,
       l.product_id, w.code, l.quantity, l.open, l.fulfilled, l.released, l.returned, {READY}
  FROM inventory_reservation r
  LEFT JOIN (inventory_reservationline l
             JOIN inventory_warehouse w ON w.id = l.warehouse_id
             JOIN inventory_stock s ON s.product_id = l.product_id AND s.warehouse_id = l.warehouse_id)
         ON l.reservation_id = r.id
 WHERE r.id = ANY(%s::uuid[])
 ORDER BY r.id, l.product_id, l.warehouse_id
"""


def read_reservations(reservation_ids: Collection[UUID]) -> list[tuple[Any, ...]]:
    """Return one row per line of these reservations.

    The columns are id, reference, state, created, deadline and end of the reservation, and product, warehouse code,
    quantity, open, fulfilled, released, returned and ready of the line. A reservation without lines is one row with
    None in the columns of the line.
    """
    with prepared() as cursor:
        cursor.execute(READ_RESERVATIONS, [list(reservation_ids)])
        found: list[tuple[Any, ...]] = cursor.fetchall()
    return found


class LockedReservation(NamedTuple):
    """A locked reservation. `late_by` is how long ago its deadline was; negative before it."""

    state: str
    reference: str
    owner: str
    late_by: timedelta


LOCK_RESERVATION = """
SELECT state, reference, owner, clock_timestamp() - expires_at FROM inventory_reservation WHERE id = %s
   FOR NO KEY UPDATE
"""


def lock_reservation(reservation_id: UUID) -> LockedReservation | None:
    """Lock a reservation and return it, or None when there is no such reservation."""
    with prepared() as cursor:
        cursor.execute(LOCK_RESERVATION, [reservation_id])
        found = cursor.fetchone()
        return LockedReservation(*found) if found else None


LOCK_DUE = """
SELECT id, reference FROM inventory_reservation
 WHERE state = 'held' AND expires_at <= statement_timestamp()
 ORDER BY expires_at LIMIT %s
   FOR NO KEY UPDATE SKIP LOCKED
"""


def lock_due(limit: int) -> dict[UUID, str]:
    """Lock up to `limit` overdue holds that no other transaction has locked; return their references by id."""
    with connection.cursor() as cursor:
        cursor.execute(LOCK_DUE, [limit])
        return dict(cursor.fetchall())


OLDER = f"""
  FROM inventory_reservation mine
 CROSS JOIN unnest(%s::bigint[], %s::bigint[]) AS row (product_id, warehouse_id)
  JOIN inventory_reservationline l
    ON l.product_id = row.product_id AND l.warehouse_id = row.warehouse_id AND l.open > 0
  JOIN inventory_reservation r ON r.id = l.reservation_id AND r.state = 'confirmed'
 WHERE mine.id = %s AND {TURN.format("r")} < {TURN.format("mine")}
"""
OLDER_UNITS = f"""
SELECT l.product_id, l.warehouse_id, sum(l.open)::int {OLDER} GROUP BY l.product_id, l.warehouse_id
"""
OLDER_PROMISES = f"""
SELECT l.product_id, (SELECT code FROM inventory_warehouse WHERE id = l.warehouse_id), l.open, r.id, r.reference,
       r.state, r.expires_at, false {OLDER} ORDER BY {TURN.format("r")}, l.product_id, l.warehouse_id LIMIT %s
"""


def older_units(reservation_id: UUID, keys: Collection[Key]) -> dict[Key, int]:
    """Return the open units by (product, warehouse) key that were promised before this reservation."""
    columns = [[product_id for product_id, _ in keys], [warehouse_id for _, warehouse_id in keys]]
    with connection.cursor() as cursor:
        cursor.execute(OLDER_UNITS, [*columns, reservation_id])
        return {(product_id, warehouse_id): units for product_id, warehouse_id, units in cursor}


def older_promises(reservation_id: UUID, keys: Collection[Key], *, limit: int) -> list[Consumer]:
    """Return the promises on these (product, warehouse) rows that are older than this reservation, oldest first."""
    columns = [[product_id for product_id, _ in keys], [warehouse_id for _, warehouse_id in keys]]
    with connection.cursor() as cursor:
        cursor.execute(OLDER_PROMISES, [*columns, reservation_id, limit])
        return [Consumer(*row) for row in cursor]


CONFIRM_RESERVATION = """
UPDATE inventory_reservation SET state = 'confirmed', confirmed_at = clock_timestamp() WHERE id = %s AND state = 'held'
"""


def confirm_reservation(reservation_id: UUID) -> None:
    """Mark a held reservation as confirmed. Its lines stay open until they are shipped or released."""
    with prepared() as cursor:
        cursor.execute(CONFIRM_RESERVATION, [reservation_id])
        assert cursor.rowcount == 1, "the caller holds the lock and has seen the state"


TIME_LEFT = "SELECT created_at + %s - clock_timestamp() FROM inventory_reservation WHERE id = %s"


def time_left(reservation_id: UUID, *, max_age: timedelta) -> timedelta:
    """Return the time until a locked reservation is `max_age` old; negative after that."""
    parameters: list[Any] = [max_age, reservation_id]
    with connection.cursor() as cursor:
        cursor.execute(TIME_LEFT, parameters)
        (left,) = cursor.fetchone()
    return timedelta(seconds=left.total_seconds())


# Never beyond the maximum age, and never to an earlier deadline.
EXTEND_RESERVATION = """
UPDATE inventory_reservation
   SET expires_at = GREATEST(expires_at, LEAST(clock_timestamp() + %s, created_at + %s))
 WHERE id = %s AND state = 'held'
"""


def extend_reservation(reservation_id: UUID, *, ttl: timedelta, max_age: timedelta) -> None:
    """Extend a locked hold to `ttl` from now, at most to `max_age` after its creation."""
    parameters: list[Any] = [ttl, max_age, reservation_id]
    with connection.cursor() as cursor:
        cursor.execute(EXTEND_RESERVATION, parameters)
        assert cursor.rowcount == 1, "the caller holds the lock and has seen the state"
