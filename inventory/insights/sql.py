"""Statements for the dashboard and the metrics of stock."""

from datetime import date
from typing import Any, NamedTuple

from django.db import connection

from inventory.stock.levels import available_sql, is_low_sql, is_shown_sql

# `places` are the caller's warehouses, `active` those of them that serve orders. Looking these up for each stock row,
# and joining the items before the rows are summed, would take half as long again.
HEALTH = f"""
SELECT count(*) FILTER (WHERE stock.is_low), count(*) FILTER (WHERE COALESCE(stock.units, 0) = 0)
  FROM inventory_item i LEFT JOIN (
    SELECT product_id, bool_or(is_active AND {is_low_sql("levels.units", "levels")}) AS is_low,
           sum(units) FILTER (WHERE is_active) AS units FROM (
        SELECT product_id, reorder_point, warehouse_id = ANY(%(active)s) AS is_active, {available_sql("s")} AS units
          FROM inventory_stock s
         WHERE (%(everywhere)s OR warehouse_id = ANY(%(places)s)) AND {is_shown_sql("s", "s")}
    ) levels GROUP BY product_id
  ) stock USING (product_id)
 WHERE i.is_active AND (%(everywhere)s OR stock.product_id IS NOT NULL)
"""
OVERDUE_HOLDS = """
SELECT count(*) FROM inventory_reservation r WHERE state = 'held' AND expires_at <= statement_timestamp()
   AND (%(everywhere)s OR EXISTS (
        SELECT FROM inventory_reservationline l WHERE l.reservation_id = r.id AND l.warehouse_id = ANY(%(places)s)))
"""


HOLDS = """
SELECT count(*), count(*) FILTER (WHERE expires_at <= statement_timestamp()),
       COALESCE(extract(epoch FROM statement_timestamp() - min(created_at)), 0)::float
  FROM inventory_reservation WHERE state = 'held'
"""


def holds() -> tuple[int, int, float]:
    """Return how many holds there are, how many are overdue, and the age of the oldest in seconds."""
    with connection.cursor() as cursor:
        cursor.execute(HOLDS)
        count, overdue, oldest = cursor.fetchone()
    return count, overdue, oldest


class Places(NamedTuple):
    """The caller's warehouses, and those of them that serve orders."""

    everywhere: bool
    places: list[int]
    active: list[int]


def health(at: Places) -> tuple[int, int, int]:
    """Return how many items on sale are low, how many are out of stock, and how many holds are overdue.

    For callers who work everywhere, an item without stock rows is out of stock; for others it does not exist.
    """
    with connection.cursor() as cursor:
        cursor.execute(HEALTH, at._asdict())
        low, out = cursor.fetchone()
        cursor.execute(OVERDUE_HOLDS, at._asdict())
        (overdue,) = cursor.fetchone()
    return low, out, overdue


# One range scan of the partial index on shipments per day: computing the day of each row would take twice as long.
SOLD_BY_DAY = """
SELECT day::date, (
    SELECT sum(-on_hand_delta) FROM inventory_movement
     WHERE kind = 'ship' AND created_at >= day AT TIME ZONE %(zone)s
       AND created_at < (day + interval '1 day') AT TIME ZONE %(zone)s
       AND (%(everywhere)s OR warehouse_id = ANY(%(places)s)))
  FROM generate_series(date_trunc('day', now() AT TIME ZONE %(zone)s) - %(days)s * interval '1 day',
                       now() AT TIME ZONE %(zone)s, '1 day') AS day
 ORDER BY day
"""


def sold_by_day(days: int, at: Places, *, zone: str) -> list[tuple[date, int]]:
    """Return the units shipped on each of the last `days` days up to today, in a time zone."""
    with connection.cursor() as cursor:
        cursor.execute(SOLD_BY_DAY, {"days": days - 1, "zone": zone, **at._asdict()})
        return [(day, int(units or 0)) for day, units in cursor]


class Mover(NamedTuple):
    """A product that sells: units shipped in the last days, units available, and how many days these will last."""

    product_id: int
    sku: str
    name: str
    sold: int
    available: int
    days_of_cover: float


# Both lists in one statement: the sums over sales and stock, which they share, take most of the time. Only the listed
# products are joined with their names; ten times as many are selected as needed, since some may be off sale.
MOVERS = f"""
WITH sold AS (
    SELECT product_id, sum(-on_hand_delta) AS units FROM inventory_movement
     WHERE kind = 'ship' AND created_at >= now() - %(days)s * interval '1 day'
       AND (%(everywhere)s OR warehouse_id = ANY(%(places)s))
     GROUP BY product_id
), free AS (
    SELECT product_id, sum({available_sql("s")}) AS units
      FROM inventory_stock s WHERE warehouse_id = ANY(%(active)s) GROUP BY product_id
), mover AS MATERIALIZED (
    SELECT product_id, sold.units AS sold, COALESCE(free.units, 0) AS available,
           COALESCE(free.units, 0) * %(days)s / sold.units::float AS days_of_cover
      FROM sold LEFT JOIN free USING (product_id) WHERE sold.units > 0
), top AS (
    SELECT 'top' AS list, m.* FROM mover m ORDER BY sold DESC, product_id LIMIT 10 * %(limit)s
), soon_out AS (
    SELECT 'soon out' AS list, m.* FROM mover m ORDER BY days_of_cover, sold DESC, product_id LIMIT 10 * %(limit)s
)
SELECT f.list, f.product_id, i.sku, i.name, f.sold, f.available, f.days_of_cover
  FROM (SELECT * FROM top UNION ALL SELECT * FROM soon_out) f JOIN inventory_item i USING (product_id)
 WHERE i.is_active
 ORDER BY f.list, CASE f.list WHEN 'top' THEN -f.sold ELSE f.days_of_cover END, f.sold DESC, f.product_id
"""


def movers(days: int, at: Places, *, limit: int) -> tuple[list[Mover], list[Mover]]:
    """Return the products that sold most in the last days, and those that will be out first at that rate."""
    found: dict[str, list[Mover]] = {"top": [], "soon out": []}
    parameters: dict[str, Any] = {"days": days, "limit": limit, **at._asdict()}
    with connection.cursor() as cursor:
        cursor.execute(MOVERS, parameters)
        for which, product_id, sku, name, sold, available, cover in cursor:
            found[which].append(Mover(product_id, sku, name, int(sold), int(available), round(cover, 1)))
    return found["top"][:limit], found["soon out"][:limit]
