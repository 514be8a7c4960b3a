"""The ledger: its movements, and the stock as of a moment in the past."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Min

from inventory.stock import models, sql_history
from inventory.stock.items import Item, ItemNotFound, Stock, is_on_sale, item_of, item_with_removed
from inventory.stock.levels import available, is_low
from inventory.stock.scopes import scope_of, within
from shop.toolkit.callers import Caller
from shop.toolkit.db.pages import Page, PageRequest, page_of

HISTORY_DAYS, HISTORY_POINTS = 90, 91


@dataclass(frozen=True)
class Movement:
    """One row of the ledger: what changed, and the balances after it."""

    id: str
    product_id: int
    warehouse: str
    seq: int
    kind: str
    reason: str
    on_hand_delta: int
    reserved_delta: int
    committed_delta: int
    unavailable_delta: int
    on_hand: int
    reserved: int
    committed: int
    unavailable: int
    reference: str
    actor_id: int | None
    note: str
    import_id: UUID | None
    created_at: datetime


def item_as_of(product_id: int, at: datetime, *, caller: Caller) -> Item:
    """Return an item with its quantities as of `at` by the ledger. Takes one index probe per warehouse.

    Warehouses without a movement by then are left out. Policy (safety stock, reorder point, backorder limit, whether a
    warehouse is active) is not in the ledger; the result has today's. Only the caller's warehouses count. Raises
    ItemNotFound.
    """
    item = item_with_removed(product_id, caller=caller)
    on_sale = is_on_sale(product_id)
    then = sql_history.as_of(product_id, at)
    codes = dict(models.Warehouse.objects.filter(pk__in=then).values_list("code", "id"))
    there = [stock for stock in item.stocks if stock.warehouse in codes]
    return item_of(item, [_stock_then(stock, then[codes[stock.warehouse]], is_on_sale=on_sale) for stock in there])


def _stock_then(stock: Stock, row: sql_history.MovementRow, *, is_on_sale: bool) -> Stock:
    units = available(row.on_hand, row.unavailable, stock.safety_stock, row.reserved, row.committed)
    units = units if stock.is_active else 0
    return replace(
        stock,
        on_hand=row.on_hand,
        reserved=row.reserved,
        committed=row.committed,
        unavailable=row.unavailable,
        available=units,
        low_stock=is_low(stock.reorder_point, units, is_sold=is_on_sale and stock.is_active),
    )


@dataclass(frozen=True)
class HistoryPoint:
    """The stock of a product at one moment by the ledger, summed over the requested warehouses."""

    at: datetime
    on_hand: int
    promised: int
    unavailable: int


def stock_history(product_id: int, *, now: datetime, caller: Caller) -> list[HistoryPoint]:
    """Return a product's stock at HISTORY_POINTS moments up to `now`.

    The first moment is HISTORY_DAYS ago, or the product's first movement if that is later; empty without a movement.
    Takes one index probe per moment and warehouse, however long the ledger. Only the caller's warehouses count.
    """
    stocks = models.Stock.objects.filter(within(scope_of(caller)), product_id=product_id)
    places = list(stocks.values_list("warehouse_id", flat=True))
    movements = models.Movement.objects.filter(product_id=product_id, warehouse_id__in=places)
    first = movements.aggregate(first=Min("created_at"))["first"]
    if first is None:
        return []
    start = max(first, now - timedelta(days=HISTORY_DAYS))
    moments = [start + (now - start) * step / (HISTORY_POINTS - 1) for step in range(HISTORY_POINTS)]
    return [HistoryPoint(*row) for row in sql_history.history(product_id, warehouse_ids=places, at=moments)]


def list_movements(
    product_id: int,
    *,
    page: PageRequest,
    warehouse: str | None = None,
    kind: str | None = None,
    caller: Caller,
) -> Page[Movement]:
    """Return a product's ledger, newest first. Only the caller's warehouses count.

    Raises ItemNotFound, InvalidCursor.
    """
    if not models.Item.objects.filter(pk=product_id).exists():
        raise ItemNotFound([product_id])
    rows = models.Movement.objects.filter(within(scope_of(caller)), product_id=product_id)
    codes = _codes()
    if warehouse is not None:
        rows = rows.filter(warehouse_id__in=[key for key, code in codes.items() if code == warehouse])
    if kind is not None:
        rows = rows.filter(kind=kind)
    found = page_of(rows, order=["-created_at", "-warehouse_id", "-seq"], request=page)
    return found.map(lambda row: _movement(row, codes))


def last_change(product_id: int, *, warehouse: str, caller: Caller) -> Movement | None:
    """Return the newest movement that changed a product's units on hand in a warehouse; None if there is none.

    Only the caller's warehouses count.
    """
    rows = models.Movement.objects.filter(within(scope_of(caller)), product_id=product_id)
    places = models.Warehouse.objects.filter(code=warehouse).values("id")
    row = rows.filter(warehouse_id__in=places).exclude(on_hand_delta=0).order_by("-seq").first()
    return _movement(row, _codes()) if row else None


def movements(keys: Sequence[tuple[int, int, int]]) -> list[Movement]:
    """Return movements by their (product, warehouse, seq) keys, in that order."""
    codes = _codes()
    rows = models.Movement.objects.filter(pk__in=keys).order_by("product_id", "warehouse_id", "seq")
    return [_movement(row, codes) for row in rows]


def _codes() -> dict[int, str]:
    return dict(models.Warehouse.objects.values_list("id", "code"))


def _movement(row: models.Movement, codes: dict[int, str]) -> Movement:
    return Movement(
        id=str(row),
        product_id=row.product_id,
        warehouse=codes[row.warehouse_id],
        seq=row.seq,
        kind=row.kind,
        reason=row.reason,
        on_hand_delta=row.on_hand_delta,
        reserved_delta=row.reserved_delta,
        committed_delta=row.committed_delta,
        unavailable_delta=row.unavailable_delta,
        on_hand=row.on_hand,
        reserved=row.reserved,
        committed=row.committed,
        unavailable=row.unavailable,
        reference=row.reference,
        actor_id=row.actor_id,
        note=row.note,
        import_id=row.import_id,
        created_at=row.created_at,
    )
