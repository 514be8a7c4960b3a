"""What holds between the apps: invariants over tables that no single app may read, checked at the composition root."""

import logging
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from django.db import DatabaseError, connection, transaction

from inventory import services as inventory
from shop import models
from shop.toolkit.db import transactions

logger = logging.getLogger(__name__)

KEPT = timedelta(days=90)  # verdicts
BESIDE_STOCK = inventory.Guarded(apps=("orders", "products"), triggers=("orders_order_one_way",))
CHECKS = {
    "orders_covered": (
        "An order's units are not covered by its reservation, unit for unit.",
        """
        SELECT u.*, o.number, o.status, r.state
          FROM (
            SELECT reservation_id, product_id, ordered.units AS ordered, claimed.units AS claimed
              FROM (
                SELECT o.reservation_id, l.product_id, sum(l.quantity - l.cancelled) AS units
                  FROM orders_order o JOIN orders_orderline l ON l.order_id = o.id
                 GROUP BY o.reservation_id, l.product_id
              ) ordered
              FULL JOIN (
                SELECT l.reservation_id, l.product_id, sum(l.open + l.fulfilled) AS units
                  FROM inventory_reservationline l JOIN inventory_reservation r ON r.id = l.reservation_id
                 WHERE r.owner = 'orders' GROUP BY l.reservation_id, l.product_id
                HAVING sum(l.open + l.fulfilled) > 0
              ) claimed USING (reservation_id, product_id)
             WHERE COALESCE(claimed.units, 0) <> COALESCE(ordered.units, 0)
          ) u
          LEFT JOIN orders_order o ON o.reservation_id = u.reservation_id
          LEFT JOIN inventory_reservation r ON r.id = u.reservation_id
         WHERE (o.status IN ('pending', 'expired') AND r.state = 'expired') IS NOT TRUE
        """,
    ),
    "orders_follow_reservations": (
        "An order and its reservation are not in states that go together.",
        """
        SELECT o.id, o.number, o.status, r.state
          FROM orders_order o LEFT JOIN inventory_reservation r ON r.id = o.reservation_id
         WHERE (o.status, COALESCE(r.state, 'none')) NOT IN (
               ('pending', 'held'), ('pending', 'expired'), ('expired', 'expired'), ('confirmed', 'confirmed'),
               ('partially_fulfilled', 'confirmed'), ('fulfilled', 'fulfilled'), ('cancelled', 'released'),
               ('cancelled', 'fulfilled'), ('cancelled', 'expired'))
        """,
    ),
    "products_and_items": (
        "A product has no inventory item, or an item no product.",
        """
        SELECT p.id AS product_id, i.product_id AS item_id, p.sku, i.sku AS item_sku
          FROM products_product p FULL JOIN inventory_item i ON i.product_id = p.id
         WHERE p.id IS NULL OR i.product_id IS NULL
            OR (p.sku, p.sku_key, p.name, p.is_active) <> (i.sku, i.sku_key, i.name, i.is_active)
        """,
    ),
    "order_totals": (
        "An order's total is not the sum of its lines, or a line is not quantity times price.",
        """
        SELECT o.id, o.number, o.total, sum(l.total_price) AS of_lines
          FROM orders_order o LEFT JOIN orders_orderline l ON l.order_id = o.id
         GROUP BY o.id
        HAVING o.total IS DISTINCT FROM sum(l.total_price)
            OR bool_or(l.total_price <> l.quantity * l.unit_price OR l.sku = '' OR l.name = '')
        """,
    ),
}


OnCheck = Callable[[str, inventory.Finding | None], None]


def verify(*, now: datetime, on_check: OnCheck) -> list[inventory.Finding]:
    """Check everything in one snapshot, repair nothing, and keep the verdict for the staff's first page.

    `on_check` is told each check's name and its finding, None when it holds, as soon as it is known; what was found is
    returned. In transactions of its own.
    """
    checked, findings = 0, []
    with transaction.atomic(durable=True):
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            cursor.execute("SET LOCAL statement_timeout = 0")  # it reads the whole ledger
        for name, finding in checks():
            checked += 1
            findings += [finding] if finding else []
            on_check(name, finding)
    try:
        transactions.run(lambda: _keep(now, checked, findings))
    except DatabaseError as error:  # a standby may be asked as well
        logger.warning("The verdict could not be kept: %s", error)
    return findings


def last_verdict() -> models.Verdict | None:
    """Return what was found last; None when nobody has looked yet."""
    return models.Verdict.objects.order_by("-taken_at").first()


def _keep(now: datetime, checked: int, findings: list[inventory.Finding]) -> None:
    models.Verdict.objects.filter(taken_at__lt=now - KEPT).delete()
    models.Verdict.objects.create(taken_at=now, checked=checked, broken=[finding.check for finding in findings])


def checks() -> Iterator[tuple[str, inventory.Finding | None]]:
    """Check what inventory verifies of itself, then what holds between the apps."""
    yield from inventory.verify(BESIDE_STOCK)
    with connection.cursor() as cursor:
        for name, (sentence, statement) in CHECKS.items():
            cursor.execute(f"{statement} LIMIT 100")
            names = [column[0] for column in cursor.description or ()]
            rows = [dict(zip(names, row, strict=True)) for row in cursor]
            yield name, inventory.Finding(name, sentence, rows) if rows else None
