"""What is sold. A product and its inventory item come into being together. The only module that others may import."""

from products.catalogue import (
    InvalidSku,
    Offer,
    PriceNotPayable,
    Product,
    ProductNotFound,
    SkuExists,
    archive_product,
    create_product,
    find_offers,
    list_products,
    offers,
)
