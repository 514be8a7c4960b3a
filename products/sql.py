"""Every raw statement of products."""

from collections.abc import Collection
from typing import Any

from shop.toolkit.db.statements import array, prepared

ON_SALE = "SELECT id, sku, name, price, currency FROM products_product WHERE id = ANY(%s::bigint[]) AND is_active"


def on_sale(product_ids: Collection[int]) -> list[tuple[Any, ...]]:
    """Return id, SKU, name, price and currency of each of these products that is on sale."""
    with prepared() as cursor:
        cursor.execute(ON_SALE, [array(product_ids)])
        found: list[tuple[Any, ...]] = cursor.fetchall()
        return found
