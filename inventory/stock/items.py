"""Items: inventory's records of products, with their stock per warehouse."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from django.db.models import Exists, OuterRef, Q, QuerySet

from inventory.stock import models
from inventory.stock.levels import AVAILABLE, IS_LOW, IS_SHOWN, available, is_low
from inventory.stock.scopes import Scope, scope_of, within
from shop.toolkit.callers import Caller
from shop.toolkit.db.pages import Page, PageRequest, page_of
from shop.toolkit.db.search import every_word
from shop.toolkit.refusals import Refusal
from shop.toolkit.skus import MAX_SKU, sku_key


@dataclass(frozen=True)
class Stock:
    """One item's units in one warehouse. `available` is 0 in an inactive warehouse: nothing is sold from there.

    `low_stock` is true if `available` is at or below the reorder point. It is always false without a reorder point, in
    an inactive warehouse, and for a product off sale.
    """

    product_id: int
    warehouse: str
    on_hand: int
    reserved: int
    committed: int
    unavailable: int
    safety_stock: int
    available: int
    reorder_point: int | None
    backorder_limit: int
    low_stock: bool
    is_active: bool


@dataclass(frozen=True)
class Item:
    """One item with its totals over all warehouses. `low_stock` is true if it is low in any of them."""

    product_id: int
    sku: str
    name: str
    on_hand: int
    reserved: int
    committed: int
    unavailable: int
    safety_stock: int
    available: int
    low_stock: bool
    stocks: list[Stock]


@dataclass(frozen=True)
class Labels:
    """The data of a product that inventory copies. An inactive product is not on sale."""

    product_id: int
    sku: str
    name: str
    is_active: bool


class ItemNotFound(Refusal):
    """These products have no inventory item, or are off sale where they must be on sale."""

    def __init__(self, product_ids: Collection[int]) -> None:
        self.product_ids = sorted(product_ids)
        ids = ", ".join(map(str, self.product_ids))
        super().__init__(
            f"Product {ids} does not exist or is not on sale."
            if len(self.product_ids) == 1
            else f"Products {ids} do not exist or are not on sale."
        )


class SkuNotFound(Refusal):
    """No inventory item has this SKU."""

    def __init__(self, sku: str) -> None:
        super().__init__(f"There is no product with the SKU {sku}.")


ORDERINGS = ("product_id", "sku")  # unique each, as paging by a cursor requires
TOTALS = ("on_hand", "reserved", "committed", "unavailable", "safety_stock", "available")


def get_item(product_id: int, *, caller: Caller) -> Item:
    """Return one item with its stock per warehouse. Only the caller's warehouses count. Raises ItemNotFound."""
    return _item(product_id, caller, IS_SHOWN)


def item_with_removed(product_id: int, *, caller: Caller) -> Item:
    """Return the same, including removed stock rows, for questions about the past."""
    return _item(product_id, caller, Q())


def _item(product_id: int, caller: Caller, shown: Q) -> Item:
    row = models.Item.objects.filter(pk=product_id).first()
    if row is None:
        raise ItemNotFound([product_id])
    return _items([row], scope_of(caller), shown=shown)[0]


def is_on_sale(product_id: int) -> bool:
    """Tell whether a product is on sale."""
    return models.Item.objects.filter(pk=product_id, is_active=True).exists()


def find_item(sku: str) -> Labels:
    """Return the product with this SKU, ignoring case. Raises SkuNotFound."""
    row = models.Item.objects.filter(sku_key=sku_key(sku)).first() if len(sku) <= MAX_SKU else None
    if row is None:
        raise SkuNotFound(sku[:MAX_SKU])
    return Labels(row.product_id, row.sku, row.name, row.is_active)


def list_items(
    *,
    page: PageRequest,
    ordering: str = "product_id",
    warehouse: str | None = None,
    low_stock: bool | None = None,
    search: str = "",
    caller: Caller,
) -> Page[Item]:
    """Return items by `ordering` (one of ORDERINGS), in a constant number of statements.

    `warehouse` keeps the items with a stock row there; `low_stock` keeps those that are low, or if False those that are
    not (in that warehouse, if both are given); `search` matches words of SKU and name in any order. Only the caller's
    warehouses count, also in the totals. Raises InvalidCursor.
    """
    rows = models.Item.objects.all()
    rows = rows.filter(every_word(search, "sku", "name"))
    scope = scope_of(caller)
    rows = _with_stock(rows, warehouse, low_stock, scope)
    found = page_of(rows, order=[ordering], request=page)
    return Page(_items(found.results, scope), found.next, found.previous)


def _with_stock(
    rows: QuerySet[models.Item], warehouse: str | None, low_stock: bool | None, scope: Scope
) -> QuerySet[models.Item]:
    stocks = models.Stock.objects.filter(within(scope), IS_SHOWN, product_id=OuterRef("product_id"))
    if warehouse is not None:
        stocks = stocks.filter(warehouse__code=warehouse)
        rows = rows.filter(Exists(stocks))
    if low_stock is None:
        return rows
    is_low = Exists(stocks.alias(free=AVAILABLE).filter(IS_LOW))
    return rows.filter(is_low) if low_stock else rows.exclude(is_low)


def _items(rows: Iterable[models.Item], scope: Scope, *, shown: Q = IS_SHOWN) -> list[Item]:
    rows = list(rows)
    stocks: dict[int, list[Stock]] = {row.product_id: [] for row in rows}
    on_sale = {row.product_id: row.is_active for row in rows}
    found = models.Stock.objects.filter(within(scope), shown, product_id__in=stocks).select_related("warehouse")
    for stock in found.order_by("warehouse__priority", "warehouse_id"):
        stocks[stock.product_id].append(_stock(stock, is_on_sale=on_sale[stock.product_id]))
    return [item_of(row, stocks[row.product_id]) for row in rows]


def item_of(labels: models.Item | Item, stocks: list[Stock]) -> Item:
    """Return the item with these stocks and their totals."""
    totals = {name: sum(getattr(stock, name) for stock in stocks) for name in TOTALS}
    low_stock = any(stock.low_stock for stock in stocks)
    return Item(labels.product_id, labels.sku, labels.name, **totals, low_stock=low_stock, stocks=stocks)


def _stock(row: models.Stock, *, is_on_sale: bool) -> Stock:
    units = available(row.on_hand, row.unavailable, row.safety_stock, row.reserved, row.committed)
    units = units if row.warehouse.is_active else 0
    return Stock(
        product_id=row.product_id,
        warehouse=row.warehouse.code,
        on_hand=row.on_hand,
        reserved=row.reserved,
        committed=row.committed,
        unavailable=row.unavailable,
        safety_stock=row.safety_stock,
        available=units,
        reorder_point=row.reorder_point,
        backorder_limit=row.backorder_limit,
        low_stock=is_low(row.reorder_point, units, is_sold=is_on_sale and row.warehouse.is_active),
        is_active=row.warehouse.is_active,
    )
