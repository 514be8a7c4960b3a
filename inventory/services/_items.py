from collections.abc import Collection, Iterable, Sequence

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet

from inventory import models
from inventory.services._facts import Item, ItemNotFound, Level, Stock
from inventory.services._ledger import receive
from shop.toolkit.pages import Page, PageRequest, page_of

TOTALS = ("on_hand", "reserved", "committed", "unavailable", "safety_stock", "available")


@transaction.atomic(savepoint=False)
def provision_item(
    *, product_id: int, sku: str, name: str, initial_stock: Sequence[Level], actor_id: int | None
) -> Item:
    """Create the inventory item of a new product and receive its initial stock, or neither.

    Raises WarehouseNotFound, LevelOutOfRange; IntegrityError when the product has an item already, a caller's bug.
    """
    models.Item(product_id=product_id, sku=sku, name=name).save(force_insert=True)
    if initial_stock:
        receive(product_id=product_id, levels=initial_stock, actor_id=actor_id, reference="", note="initial stock")
    return get_item(product_id)


@transaction.atomic(savepoint=False)
def relabel_item(*, product_id: int, sku: str, name: str) -> None:
    """Give an item its product's new labels. Raises ItemNotFound."""
    if not models.Item.objects.filter(pk=product_id).update(sku=sku, name=name):
        raise ItemNotFound([product_id])


def get_item(product_id: int) -> Item:
    """Return one item with its stock per warehouse. Raises ItemNotFound."""
    row = models.Item.objects.filter(pk=product_id).first()
    if row is None:
        raise ItemNotFound([product_id])
    return _items([row])[0]


def list_items(
    *, page: PageRequest, warehouse: str | None = None, low_stock: bool | None = None, search: str = ""
) -> Page[Item]:
    """Return items by product id, in three statements whatever the size of the page.

    `warehouse` keeps the items that have a stock row there; `low_stock` those that are low (there, if both are given)
    or are not; `search` matches parts of SKU and name. The totals are over all warehouses. Raises InvalidCursor.
    """
    rows = models.Item.objects.all()
    if search:
        rows = rows.filter(Q(sku__icontains=search) | Q(name__icontains=search))
    rows = _with_stock(rows, warehouse, low_stock)
    found = page_of(rows, order=["product_id"], request=page)
    return Page(_items(found.results), found.next, found.previous)


def stock_levels(product_ids: Collection[int]) -> dict[int, Item]:
    """Return the items of these products by product id; products without an item are absent."""
    return {item.product_id: item for item in _items(models.Item.objects.filter(pk__in=product_ids))}


def _with_stock(rows: QuerySet[models.Item], warehouse: str | None, low_stock: bool | None) -> QuerySet[models.Item]:
    stocks = models.Stock.objects.filter(product_id=OuterRef("product_id"))
    if warehouse is not None:
        stocks = stocks.filter(warehouse__code=warehouse)
        rows = rows.filter(Exists(stocks))
    if low_stock is None:
        return rows
    low = Exists(stocks.alias(free=models.AVAILABLE).filter(_IS_LOW)) | ~Exists(stocks)
    return rows.filter(low) if low_stock else rows.exclude(low)


_IS_LOW = Q(free__lte=F("reorder_point")) | Q(warehouse__is_active=False)


def _items(rows: Iterable[models.Item]) -> list[Item]:
    rows = list(rows)
    stocks: dict[int, list[Stock]] = {row.product_id: [] for row in rows}
    found = models.Stock.objects.filter(product_id__in=stocks).select_related("warehouse")
    for stock in found.order_by("warehouse__priority", "warehouse_id"):
        stocks[stock.product_id].append(_stock(stock))
    return [_item(row, stocks[row.product_id]) for row in rows]


def _item(row: models.Item, stocks: list[Stock]) -> Item:
    totals = {name: sum(getattr(stock, name) for stock in stocks) for name in TOTALS}
    low_stock = not stocks or any(stock.low_stock for stock in stocks)
    return Item(row.product_id, row.sku, row.name, **totals, low_stock=low_stock, stocks=stocks)


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
    )
