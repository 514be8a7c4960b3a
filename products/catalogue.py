"""The catalogue. A product and its inventory item are created together."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from django.db import IntegrityError, transaction
from django.db.models import QuerySet, Value
from django.db.models.functions import Upper

from inventory import services as inventory
from products import models, sql
from shop.toolkit import money, skus
from shop.toolkit.callers import Caller
from shop.toolkit.db import replicas, transactions
from shop.toolkit.db.pages import Page, PageRequest, page_of
from shop.toolkit.db.search import words
from shop.toolkit.plurals import counted
from shop.toolkit.refusals import Refusal

ORDERINGS = ("id", "name", "price", "created_at")


@dataclass(frozen=True)
class Product:
    """A product; `price` has the decimals of its currency. Only `create_product` sets `item`, its stock."""

    id: int
    sku: str
    name: str
    description: str
    price: Decimal
    currency: str
    is_active: bool
    created_at: datetime
    updated_at: datetime
    item: inventory.Item | None = None


@dataclass(frozen=True)
class Offer:
    """The current name and price of a product on sale; `price` has the decimals of its currency."""

    product_id: int
    sku: str
    name: str
    price: Decimal
    currency: str


class ProductNotFound(Refusal):
    """These products do not exist, or are not on sale and hidden from the caller."""

    def __init__(self, product_ids: Collection[int]) -> None:
        self.product_ids = sorted(product_ids)
        ids = ", ".join(map(str, self.product_ids))
        super().__init__(
            f"Product {ids} does not exist or is not on sale."
            if len(self.product_ids) == 1
            else f"Products {ids} do not exist or are not on sale."
        )


class SkuExists(Refusal):
    """Another product has this SKU."""

    def __init__(self, sku: str, said: str = "") -> None:
        self.sku = sku
        super().__init__(said or f"A product with the SKU {sku} already exists. Choose another SKU.")


class InvalidSku(Refusal):
    """The text is not a valid SKU; the message says why."""


class PriceNotPayable(Refusal):
    """The price has more decimals than its currency."""

    def __init__(self, price: Decimal, currency: str) -> None:
        decimals = counted(money.EXPONENTS[currency], "decimal")
        super().__init__(f"The price {price} {currency} is too fine: {currency} has {decimals}. Round the price.")


@transaction.atomic(savepoint=False)
def create_product(
    *,
    sku: str,
    name: str,
    description: str,
    price: Decimal,
    currency: str,
    initial_stock: Sequence[inventory.Level],
    caller: Caller,
) -> Product:
    """Create a product, its inventory item and its initial stock, or nothing.

    Raises InvalidSku, SkuExists, PriceNotPayable, inventory.WarehouseNotFound, inventory.LevelOutOfRange.
    """
    row = models.Product(sku=_sku(sku), name=name, description=description, price=price, currency=currency)
    _save(row)
    item = inventory.provision_item(
        product_id=row.pk, sku=row.sku, name=name, initial_stock=initial_stock, caller=caller
    )
    return replace(_product(row), item=item)


@transaction.atomic(savepoint=False)
def update_product(
    product_id: int,
    *,
    sku: str | None = None,
    name: str | None = None,
    description: str | None = None,
    price: Decimal | None = None,
    currency: str | None = None,
    is_active: bool | None = None,
) -> Product:
    """Change the fields that are not None, also in the inventory item. Orders keep what the buyer saw.

    Raises ProductNotFound, InvalidSku, SkuExists, PriceNotPayable.
    """
    row = models.Product.objects.select_for_update(no_key=True).filter(pk=product_id).first()
    if row is None:
        raise ProductNotFound([product_id])
    given = {
        "sku": None if sku is None else _sku(sku),
        "name": name,
        "description": description,
        "price": price,
        "currency": currency,
        "is_active": is_active,
    }
    changes = {field: value for field, value in given.items() if value is not None}
    for field, value in changes.items():
        setattr(row, field, value)
    _save(row, update_fields=[*changes, "sku_key", "updated_at"])
    if changes.keys() & {"sku", "name", "is_active"}:
        inventory.relabel_item(product_id=product_id, sku=row.sku, name=row.name, is_active=row.is_active)
    return _product(row)


@transaction.atomic(savepoint=False)
def archive_product(product_id: int) -> None:
    """Take a product off sale. Its stock and its orders stay. Repeating it is harmless. Raises ProductNotFound."""
    update_product(product_id, is_active=False)


def get_product(product_id: int, *, with_archived: bool) -> Product:
    """Return one product. Raises ProductNotFound."""
    row = _visible(with_archived).filter(pk=product_id).first()
    if row is None:
        raise ProductNotFound([product_id])
    return _product(row)


def list_products(
    *,
    page: PageRequest,
    with_archived: bool,
    ordering: str = "id",
    search: str = "",
    currency: str | None = None,
    is_active: bool | None = None,
) -> Page[Product]:
    """Return products by `ordering`, one of ORDERINGS, descending with a leading "-".

    `search` matches words of SKU, name and description in any order, ignoring case. Products on sale are read from a
    replica if there is one. `with_archived` reads the primary, so that staff see their own changes at once. Raises
    InvalidCursor.
    """
    rows = _visible(with_archived)
    for word in words(search):
        rows = rows.alias(searched=models.SEARCHED).filter(searched__contains=Upper(Value(word)))
    if currency is not None:
        rows = rows.filter(currency=currency)
    if is_active is not None:
        rows = rows.filter(is_active=is_active)
    last = "-id" if ordering.startswith("-") else "id"
    order = [ordering] if ordering == last else [ordering, last]
    if with_archived:
        return page_of(rows, order=order, request=page).map(_product)
    return replicas.read(lambda using: page_of(rows.using(using), order=order, request=page)).map(_product)


def find_offers(product_ids: Collection[int]) -> dict[int, Offer]:
    """Return the offers of these products by id, in one statement; products off sale are absent."""
    rows = sql.on_sale(product_ids)
    return {
        product_id: Offer(product_id, sku, name, money.to_minor_unit(price, currency), currency)
        for product_id, sku, name, price, currency in rows
    }


def offers(product_ids: Collection[int]) -> dict[int, Offer]:
    """Return the offers of all these products. Raises ProductNotFound naming every unknown or archived one."""
    found = find_offers(product_ids)
    if missing := set(product_ids) - set(found):
        raise ProductNotFound(missing)
    return found


def _visible(with_archived: bool) -> QuerySet[models.Product]:
    return models.Product.objects.all() if with_archived else models.Product.objects.filter(is_active=True)


def _sku(text: str) -> str:
    """Return the normalized SKU. Raises InvalidSku."""
    sku = skus.normal(text)
    if said := skus.fault_of(sku):
        raise InvalidSku(f"{said[0].upper()}{said[1:]}.")
    return sku


def _save(row: models.Product, update_fields: Sequence[str] | None = None) -> None:
    row.sku_key = skus.sku_key(row.sku)
    if not money.fits(row.price, row.currency):
        raise PriceNotPayable(row.price, row.currency)
    try:
        row.save(update_fields=update_fields)
    except IntegrityError as error:
        if transactions.sqlstate(error) == transactions.UNIQUE_VIOLATION:
            raise SkuExists(row.sku) from error
        raise


def _product(row: models.Product) -> Product:
    return Product(
        id=row.pk,
        sku=row.sku,
        name=row.name,
        description=row.description,
        price=money.to_minor_unit(row.price, row.currency),
        currency=row.currency,
        is_active=row.is_active,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
