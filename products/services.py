"""The public interface of products, and its only module that other apps may import."""

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
