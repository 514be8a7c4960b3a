from collections.abc import Iterable

from django.db.models import Exists, OuterRef, Q, QuerySet

from inventory import models
from inventory.services._facts import Item, ItemNotFound, Labels, SkuNotFound, Stock
from inventory.services._scopes import Scope, scope_of, within
from shop.toolkit.pages import Page, PageRequest, page_of

ORDERINGS = ("product_id", "sku")  # each unique, so each a key to page by
TOTALS = ("on_hand", "reserved", "committed", "unavailable", "safety_stock", "available")


def get_item(product_id: int, *, visible_to: int | None = None) -> Item:
    """Return one item with its stock per warehouse; with `visible_to`, in those of that user's scope.

    Raises ItemNotFound.
    """
    row = models.Item.objects.filter(pk=product_id).first()
    if row is None:
        raise ItemNotFound([product_id])
    return _items([row], scope_of(visible_to))[0]


def find_item(sku: str) -> Labels:
    """Return which product has this SKU. Raises SkuNotFound."""
    row = models.Item.objects.filter(sku=sku).first()
    if row is None:
        raise SkuNotFound(sku)
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
    or are not; `search` matches parts of SKU and name. The totals are over all warehouses; with `visible_to`, over
    those of that user's scope, as if there were no others. Raises InvalidCursor.
    """
    rows = models.Item.objects.all()
    if search:
        rows = rows.filter(Q(sku__icontains=search) | Q(name__icontains=search))
    scope = scope_of(visible_to)
    rows = _with_stock(rows, warehouse, low_stock, scope)
    found = page_of(rows, order=[ordering], request=page)
    return Page(_items(found.results, scope), found.next, found.previous)


def _with_stock(
    rows: QuerySet[models.Item], warehouse: str | None, low_stock: bool | None, scope: Scope
) -> QuerySet[models.Item]:
    stocks = models.Stock.objects.filter(within(scope), product_id=OuterRef("product_id"))
    if warehouse is not None:
        stocks = stocks.filter(warehouse__code=warehouse)
        rows = rows.filter(Exists(stocks))
    if low_stock is None:
        return rows
    is_low = Exists(stocks.alias(free=models.AVAILABLE).filter(models.IS_LOW))
    # What is nowhere is low; what is elsewhere is others' concern.
    low = is_low | ~Exists(stocks) if scope is None else Q(is_low)
    # What is no longer sold needs no reordering.
    return rows.filter(low, is_active=True) if low_stock else rows.exclude(low)


def _items(rows: Iterable[models.Item], scope: Scope) -> list[Item]:
    rows = list(rows)
    stocks: dict[int, list[Stock]] = {row.product_id: [] for row in rows}
    found = models.Stock.objects.filter(within(scope), product_id__in=stocks).select_related("warehouse")
    for stock in found.order_by("warehouse__priority", "warehouse_id"):
        stocks[stock.product_id].append(_stock(stock))
    return [item_of(row, stocks[row.product_id], scope) for row in rows]


def item_of(labels: models.Item | Item, stocks: list[Stock], scope: Scope) -> Item:
    """Return the item with these stocks and their totals, as those see it who work in `scope`."""
    totals = {name: sum(getattr(stock, name) for stock in stocks) for name in TOTALS}
    low_stock = any(stock.low_stock for stock in stocks) or (scope is None and not stocks)
    return Item(labels.product_id, labels.sku, labels.name, **totals, low_stock=low_stock, stocks=stocks)


def _stock(row: models.Stock) -> Stock:
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
        low_stock=available <= row.reorder_point,
        is_active=row.warehouse.is_active,
    )
