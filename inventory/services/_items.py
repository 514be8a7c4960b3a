from collections.abc import Iterable

from django.db.models import Exists, OuterRef, Q, QuerySet

from inventory import models
from inventory.services._facts import Item, ItemNotFound, Labels, SkuNotFound, Stock
from inventory.services._scopes import Scope, scope_of, within
from shop.toolkit.pages import Page, PageRequest, page_of
from shop.toolkit.search import every_word
from shop.toolkit.skus import MAX_SKU, sku_key

ORDERINGS = ("product_id", "sku")  # each unique, so each a key to page by
TOTALS = ("on_hand", "reserved", "committed", "unavailable", "safety_stock", "available")


def get_item(product_id: int, *, visible_to: int | None = None) -> Item:
    """Return one item with its stock per warehouse; with `visible_to`, in those of that user's scope.

    Raises ItemNotFound.
    """
    return _item(product_id, visible_to, models.IS_SHOWN)


def item_with_removed(product_id: int, *, visible_to: int | None = None) -> Item:
    """Return the same with the stock rows that were removed, for what was before; for the services of this app."""
    return _item(product_id, visible_to, Q())


def _item(product_id: int, visible_to: int | None, shown: Q) -> Item:
    row = models.Item.objects.filter(pk=product_id).first()
    if row is None:
        raise ItemNotFound([product_id])
    return _items([row], scope_of(visible_to), shown=shown)[0]


def is_on_sale(product_id: int) -> bool:
    """Tell whether a product is on sale."""
    return models.Item.objects.filter(pk=product_id, is_active=True).exists()


def find_item(sku: str) -> Labels:
    """Return which product has this SKU, in any case. Raises SkuNotFound."""
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
    visible_to: int | None = None,
) -> Page[Item]:
    """Return items by `ordering`, one of ORDERINGS, in a constant number of statements whatever the size of the page.

    `warehouse` keeps the items that have a stock row there; `low_stock` those that are low (there, if both are given)
    or are not; `search` matches words of SKU and name, in any order. The totals are over all warehouses; with
    `visible_to`, over those of that user's scope, as if there were no others. Raises InvalidCursor.
    """
    rows = models.Item.objects.all()
    rows = rows.filter(every_word(search, "sku", "name"))
    scope = scope_of(visible_to)
    rows = _with_stock(rows, warehouse, low_stock, scope)
    found = page_of(rows, order=[ordering], request=page)
    return Page(_items(found.results, scope), found.next, found.previous)


def _with_stock(
    rows: QuerySet[models.Item], warehouse: str | None, low_stock: bool | None, scope: Scope
) -> QuerySet[models.Item]:
    stocks = models.Stock.objects.filter(within(scope), models.IS_SHOWN, product_id=OuterRef("product_id"))
    if warehouse is not None:
        stocks = stocks.filter(warehouse__code=warehouse)
        rows = rows.filter(Exists(stocks))
    if low_stock is None:
        return rows
    is_low = Exists(stocks.alias(free=models.AVAILABLE).filter(models.IS_LOW))
    return rows.filter(is_low) if low_stock else rows.exclude(is_low)


def _items(rows: Iterable[models.Item], scope: Scope, *, shown: Q = models.IS_SHOWN) -> list[Item]:
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


def is_low(reorder_point: int | None, available: int, *, is_sold: bool) -> bool:
    """Tell whether a stock row is low: IS_LOW, of a row that has been read."""
    return is_sold and reorder_point is not None and available <= reorder_point


def _stock(row: models.Stock, *, is_on_sale: bool) -> Stock:
    available = row.available if row.warehouse.is_active else 0
    return Stock(
        product_id=row.product_id,
        warehouse=row.warehouse.code,
        on_hand=row.on_hand,
        reserved=row.reserved,
        committed=row.committed,
        unavailable=row.unavailable,
        safety_stock=row.safety_stock,
        available=available,
        reorder_point=row.reorder_point,
        backorder_limit=row.backorder_limit,
        low_stock=is_low(row.reorder_point, available, is_sold=is_on_sale and row.warehouse.is_active),
        is_active=row.warehouse.is_active,
    )
