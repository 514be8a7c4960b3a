"""What holds between the apps: invariants over tables that no single app may read, checked at the composition root."""

from collections.abc import Iterator

from django.db import connection

from inventory import services as inventory

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
               ('cancelled', 'fulfilled'))
        """,
    ),
    "products_and_items": (
        "A product has no inventory item, or an item no product.",
        """
        SELECT p.id AS product_id, i.product_id AS item_id, p.sku, i.sku AS item_sku
          FROM products_product p FULL JOIN inventory_item i ON i.product_id = p.id
         WHERE p.id IS NULL OR i.product_id IS NULL OR (p.sku, p.name, p.is_active) <> (i.sku, i.name, i.is_active)
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


def verify() -> Iterator[tuple[str, inventory.Finding | None]]:
    """Check everything: what inventory verifies of itself, then what holds between the apps."""
    yield from inventory.verify()
    with connection.cursor() as cursor:
        for name, (sentence, statement) in CHECKS.items():
            cursor.execute(f"{statement} LIMIT 100")
            names = [column[0] for column in cursor.description or ()]
            rows = [dict(zip(names, row, strict=True)) for row in cursor]
            yield name, inventory.Finding(name, sentence, rows) if rows else None
