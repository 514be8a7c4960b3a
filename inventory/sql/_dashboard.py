from datetime import date
from typing import Any, NamedTuple

from django.db import connection

HEALTH = """
SELECT count(*) FILTER (WHERE is_low), count(*) FILTER (WHERE units = 0) FROM (
    SELECT COALESCE(bool_or(f.free <= s.reorder_point), true) AS is_low, COALESCE(sum(f.free), 0) AS units
      FROM inventory_item i
      LEFT JOIN inventory_stock s USING (product_id)
      LEFT JOIN inventory_warehouse w ON w.id = s.warehouse_id
     CROSS JOIN LATERAL (
        SELECT CASE WHEN w.is_active THEN GREATEST(
            0, s.on_hand - s.unavailable - s.safety_stock - s.reserved - s.committed) ELSE 0 END AS free
     ) f
     WHERE i.is_active GROUP BY i.product_id
) items
"""
OVERDUE_HOLDS = """
SELECT count(*) FROM inventory_reservation WHERE state = 'held' AND expires_at <= clock_timestamp()
"""


def health() -> tuple[int, int, int]:
    """Return how many items on sale are low, how many are out, and how many holds are past their deadline."""
    with connection.cursor() as cursor:
        cursor.execute(HEALTH)
        low, out = cursor.fetchone()
        cursor.execute(OVERDUE_HOLDS)
        (overdue,) = cursor.fetchone()
    return low, out, overdue


# The partial index on shipped movements has all of it.
SOLD_BY_DAY = """
SELECT (created_at AT TIME ZONE 'UTC')::date AS day, sum(-on_hand_delta) FROM inventory_movement
 WHERE kind = 'ship' AND created_at >= date_trunc('day', now(), 'UTC') - %s * interval '1 day'
 GROUP BY day
"""


def sold_by_day(days: int) -> dict[date, int]:
    """Return the units that were shipped on each of the last days and today, in UTC; days without any are absent."""
    with connection.cursor() as cursor:
        cursor.execute(SOLD_BY_DAY, [days - 1])
        return {day: int(units) for day, units in cursor}


class Mover(NamedTuple):
    """A product that sells: units shipped in the last days, what is available, and how many days that will last."""

    product_id: int
    sku: str
    name: str
    sold: int
    available: int
    days_of_cover: float


# Both lists at once: the sums over sales and stock, which they share, are what takes the time. Names are looked up for
# the few that are listed, of ten times as many as are wanted, since some of those may be off sale.
MOVERS = """
WITH sold AS (
    SELECT product_id, sum(-on_hand_delta) AS units FROM inventory_movement
     WHERE kind = 'ship' AND created_at >= now() - %(days)s * interval '1 day' GROUP BY product_id
), free AS (
    SELECT s.product_id,
           sum(GREATEST(0, s.on_hand - s.unavailable - s.safety_stock - s.reserved - s.committed)) AS units
      FROM inventory_stock s JOIN inventory_warehouse w ON w.id = s.warehouse_id AND w.is_active GROUP BY s.product_id
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


def movers(days: int, *, limit: int) -> tuple[list[Mover], list[Mover]]:
    """Return the products that sold most in the last days, and those whose stock will not last at that rate."""
    found: dict[str, list[Mover]] = {"top": [], "soon out": []}
    parameters: dict[str, Any] = {"days": days, "limit": limit}
    with connection.cursor() as cursor:
        cursor.execute(MOVERS, parameters)
        for which, product_id, sku, name, sold, available, cover in cursor:
            found[which].append(Mover(product_id, sku, name, int(sold), int(available), round(cover, 1)))
    return found["top"][:limit], found["soon out"][:limit]
