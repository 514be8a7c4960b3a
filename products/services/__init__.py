"""What is sold. A product and its inventory item come into being together. The only module that others may import."""

from products.services._catalogue import (
    ORDERINGS,
    InvalidSku,
    Offer,
    PriceNotPayable,
    Product,
    ProductNotFound,
    SkuExists,
    archive_product,
    create_product,
    find_offers,
    get_product,
    list_products,
    offers,
    update_product,
)
from products.services._files import Catalogue, ProductFile, Row, read_catalogue
from products.services._imports import Imported, import_products
from shop.toolkit.sheets import RefusedRow

__all__ = [
    "ORDERINGS",
    "Catalogue",
    "Imported",
    "InvalidSku",
    "Offer",
    "PriceNotPayable",
    "Product",
    "ProductFile",
    "ProductNotFound",
    "RefusedRow",
    "Row",
    "SkuExists",
    "archive_product",
    "create_product",
    "find_offers",
    "get_product",
    "import_products",
    "list_products",
    "offers",
    "read_catalogue",
    "update_product",
]
