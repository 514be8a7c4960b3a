"""Import of products in batches, each product with its inventory item."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import IntegrityError, transaction
from django.utils import timezone

from inventory import services as inventory
from products import models
from products.catalogue import PriceNotPayable, SkuExists
from products.files import Row
from shop.toolkit import money
from shop.toolkit.db import transactions
from shop.toolkit.skus import sku_key


@dataclass(frozen=True)
class Imported:
    """The numbers of new, changed and unchanged products."""

    new: int = 0
    changed: int = 0
    unchanged: int = 0

    def __add__(self, other: "Imported") -> "Imported":
        return Imported(self.new + other.new, self.changed + other.changed, self.unchanged + other.unchanged)


@transaction.atomic(savepoint=False)
def import_products(rows: Sequence[Row], *, currency: str) -> Imported:
    """Create the products that do not exist, each with its inventory item, and update the others.

    `currency` is for new products whose row has none. Products are found by their SKU, ignoring case; an existing one
    keeps its spelling. Each SKU must be in `rows` once. Repeating it changes nothing. The number of statements does not
    depend on the number of rows. Raises SkuExists when one of the products is created concurrently, PriceNotPayable
    when a price does not fit the currency of its product.
    """
    keys = [sku_key(row.sku) for row in rows]
    found = models.Product.objects.select_for_update(no_key=True).filter(sku_key__in=keys).order_by("pk")
    there = {product.sku_key: product for product in found}
    new = [_new(row, key, currency) for row, key in zip(rows, keys, strict=True) if key not in there]
    pairs = [(there[key], row) for row, key in zip(rows, keys, strict=True) if key in there]
    changed = [product for product, row in pairs if _change(product, row)]
    try:
        models.Product.objects.bulk_create(new)
    except IntegrityError as error:
        if transactions.sqlstate(error) == transactions.UNIQUE_VIOLATION:
            said = "Someone else has just created a product with a SKU of this file. Run the import again."
            raise SkuExists("", said) from error
        raise
    models.Product.objects.bulk_update(changed, [*FIELDS, "updated_at"])
    inventory.provision_items([_labels(product) for product in new])
    inventory.relabel_items([_labels(product) for product in changed])
    return Imported(len(new), len(changed), len(rows) - len(new) - len(changed))


FIELDS = ("name", "description", "price", "currency", "is_active")


def _new(row: Row, key: str, currency: str) -> models.Product:
    return models.Product(
        sku=row.sku,
        sku_key=key,
        name=row.name,
        description=row.description or "",
        price=row.price,
        currency=row.currency or currency,
        is_active=row.is_active is not False,
    )


def _change(product: models.Product, row: Row) -> bool:
    """Apply a row to a product; tell whether that changed anything."""
    given = {name: value for name in FIELDS if (value := getattr(row, name)) is not None}
    is_other = any(getattr(product, name) != value for name, value in given.items())
    for name, value in given.items():
        setattr(product, name, value)
    if not money.fits(product.price, product.currency):
        raise PriceNotPayable(product.price, product.currency)
    product.updated_at = timezone.now()
    return is_other


def _labels(product: models.Product) -> inventory.Labels:
    return inventory.Labels(product.pk, product.sku, product.name, product.is_active)
