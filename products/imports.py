"""Products from files, some hundreds in a statement, each with its inventory item."""

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
    """How many products were new, changed, and as they were."""

    new: int = 0
    changed: int = 0
    unchanged: int = 0

    def __add__(self, other: "Imported") -> "Imported":
        return Imported(self.new + other.new, self.changed + other.changed, self.unchanged + other.unchanged)


@transaction.atomic(savepoint=False)
def import_products(rows: Sequence[Row], *, currency: str) -> Imported:
    """Create the products that are not there, each with its inventory item, and change those that are otherwise.

    `currency` is of new products whose row has none. Products are known by their SKU in any case; one that is there
    keeps its spelling. Each SKU is in `rows` once. Doing it again changes nothing. The number of statements does not
    grow with that of the rows. Raises SkuExists when somebody creates one of them at this moment, PriceNotPayable when
    a price does not go with its product's currency.
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
            raise SkuExists("of this file") from error
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
    """Give a product what the row says; tell whether that was anything new."""
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
