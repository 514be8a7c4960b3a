from uuid import UUID

from django.db import connection

from inventory.stock.sql import is_correction

CORRECTED_SINCE_COUNTED = f"""
SELECT l.product_id FROM inventory_countline l JOIN inventory_count c ON c.id = l.count_id
 WHERE l.count_id = %s AND l.posted_at IS NULL AND EXISTS (
       SELECT FROM inventory_movement m
        WHERE m.product_id = l.product_id AND m.warehouse_id = c.warehouse_id AND m.seq > l.book_seq
          AND {is_correction("m")})
"""


def corrected_since_counted(count_id: UUID) -> set[int]:
    """Return the products of open lines whose stock row was corrected after the line was counted."""
    with connection.cursor() as cursor:
        cursor.execute(CORRECTED_SINCE_COUNTED, [count_id])
        return {product_id for (product_id,) in cursor}
