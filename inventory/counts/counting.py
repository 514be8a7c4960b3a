"""Stocktakes: people enter counted quantities line by line, while sales go on."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import Sum
from django.utils import timezone

from inventory.counts import models
from inventory.stock import models as stock_models
from inventory.stock import sql as stock_sql
from inventory.stock.items import ItemNotFound
from inventory.stock.ledger import LevelOutOfRange
from inventory.stock.limits import MAX_LEVEL
from inventory.stock.scopes import scope_of, within
from inventory.stock.warehouses import locked_warehouse_ids
from shop.toolkit.callers import SYSTEM, Caller
from shop.toolkit.refusals import Refusal


@dataclass(frozen=True)
class CountLine:
    """The counted units of one product, the units on record (`book`) at that moment, and the difference.

    `posted_at` is when the line corrected the stock or confirmed it; None before that.
    """

    product_id: int
    sku: str
    name: str
    counted: int
    book: int
    variance: int
    counted_by: int | None
    counted_at: datetime
    posted_at: datetime | None


@dataclass(frozen=True)
class CountEntry:
    """A line after an entry; `before` is the quantity before it, None for a first entry."""

    line: CountLine
    before: int | None


@dataclass(frozen=True)
class CountProgress:
    """The numbers of products and units in a count, and its newest lines."""

    products: int
    units: int
    latest: list[CountLine]


@dataclass(frozen=True)
class Count:
    """A stocktake of one warehouse, open until every line is posted or it is abandoned."""

    id: UUID
    warehouse: str
    note: str
    opened_at: datetime
    closed_at: datetime | None
    is_abandoned: bool
    lines: list[CountLine]


class CountNotFound(Refusal):
    """No count has this id."""

    def __init__(self, count_id: UUID) -> None:
        super().__init__(f"There is no count {count_id}.")


class CountClosed(Refusal):
    """The count is closed or abandoned. Its posted lines are in the ledger."""

    def __init__(self) -> None:
        super().__init__("This count is closed. Open a new one.")


class NotCounted(Refusal):
    """The count has no line for this product."""

    def __init__(self, product_id: int) -> None:
        super().__init__(f"Product {product_id} has no line in this count.")


class CountLinePosted(Refusal):
    """The line was posted to the ledger, so it can be neither removed nor added to."""

    def __init__(self, sku: str) -> None:
        super().__init__(f"{sku} is already posted. To correct it, enter how many units there are now.")


class RecountNeeded(Refusal):
    """The stock changed after the line was counted, so it is unclear what a further unit is added to."""

    def __init__(self, sku: str) -> None:
        super().__init__(
            f"The stock of {sku} changed after it was counted. Remove the line and count again, or enter how many "
            "units there are now."
        )


@transaction.atomic(savepoint=False)
def open_count(*, count_id: UUID, warehouse: str, note: str, caller: Caller) -> Count:
    """Open a count of one warehouse; several may be open there. Raises WarehouseNotFound."""
    warehouse_id = locked_warehouse_ids([warehouse], caller=caller)[warehouse]
    models.Count(pk=count_id, warehouse_id=warehouse_id, note=note, opened_by=caller.actor_id).save(force_insert=True)
    return get_count(count_id, caller=SYSTEM)


@transaction.atomic(savepoint=False)
def record_count(count_id: UUID, *, product_id: int, counted: int, caller: Caller) -> CountEntry:
    """Enter the counted units of a product, replacing an earlier entry.

    The line keeps the units on record at this moment. Raises CountNotFound, CountClosed, ItemNotFound, LevelOutOfRange.
    """
    return _enter(_locked_open(count_id, caller), product_id, counted, caller)


@transaction.atomic(savepoint=False)
def add_to_count(count_id: UUID, *, product_id: int, quantity: int, caller: Caller) -> CountEntry:
    """Add units to the earlier entry of a product, if its units on hand have not changed since.

    After such a change it is unclear which units were counted. Raises what `record_count` raises, CountLinePosted for a
    posted line, RecountNeeded after a change.
    """
    count = _locked_open(count_id, caller)
    # Locked before it is read: the units on hand must not change until the entry is written.
    stock_sql.lock_levels([(product_id, count.warehouse_id)])
    row = models.CountLine.objects.filter(count_id=count_id, product_id=product_id).first()
    if row is None:
        return _enter(count, product_id, quantity, caller)
    (line,) = lines_of([row])
    if line.posted_at is not None:
        raise CountLinePosted(line.sku)
    later = stock_models.Movement.objects.filter(
        product_id=product_id, warehouse_id=count.warehouse_id, seq__gt=row.book_seq
    )
    if later.exclude(on_hand_delta=0).exists():
        raise RecountNeeded(line.sku)
    return _enter(count, product_id, row.counted + quantity, caller)


@transaction.atomic(savepoint=False)
def remove_count_line(count_id: UUID, *, product_id: int, caller: Caller) -> CountLine:
    """Remove an unposted line from an open count, as if its product had not been counted; return the line.

    Raises CountNotFound, CountClosed, NotCounted, CountLinePosted.
    """
    _locked_open(count_id, caller)
    row = models.CountLine.objects.filter(count_id=count_id, product_id=product_id).first()
    if row is None:
        raise NotCounted(product_id)
    (line,) = lines_of([row])
    if row.posted_at is not None:
        raise CountLinePosted(line.sku)
    row.delete()
    return line


@transaction.atomic(savepoint=False)
def abandon_count(count_id: UUID, *, caller: Caller) -> Count:
    """End a count without posting its open lines. Repeating it is harmless.

    Raises CountNotFound; CountClosed when all lines are posted already.
    """
    count = locked(count_id, caller)
    if count.closed_at is None:
        count.is_abandoned = True
        end(count, caller)
    elif not count.is_abandoned:
        raise CountClosed
    return get_count(count_id, caller=SYSTEM)


def count_progress(count_id: UUID, *, latest: int) -> CountProgress:
    """Return the totals of a count and its `latest` lines, newest first."""
    rows = models.CountLine.objects.filter(count_id=count_id)
    totals = rows.aggregate(units=Sum("counted"))
    newest = lines_of(list(rows.order_by("-counted_at", "-product_id")[:latest]))
    return CountProgress(rows.count(), totals["units"] or 0, newest)


def get_count(count_id: UUID, *, caller: Caller) -> Count:
    """Return a count with its lines by product. Only the caller's warehouses count. Raises CountNotFound."""
    return count_of(row_of(count_id, caller))


def _enter(count: models.Count, product_id: int, counted: int, caller: Caller) -> CountEntry:
    if not stock_models.Item.objects.filter(pk=product_id).exists():
        raise ItemNotFound([product_id])
    if not 0 <= counted <= MAX_LEVEL:
        raise LevelOutOfRange(MAX_LEVEL)
    before = models.CountLine.objects.filter(count_id=count.pk, product_id=product_id).first()
    key = (product_id, count.warehouse_id)
    # Under the lock of the stock row, so that no sale falls between reading the units on record and writing them.
    levels = stock_sql.lock_levels([key]).get(key)
    row, _ = models.CountLine.objects.update_or_create(
        count_id=count.pk,
        product_id=product_id,
        defaults={
            "counted": counted,
            "book": levels.on_hand if levels else 0,
            "book_seq": levels.seq if levels else 0,
            "counted_by": caller.actor_id,
            "counted_at": timezone.now(),
            "posted_at": None,
        },
    )
    (line,) = lines_of([row])
    return CountEntry(line, before.counted if before else None)


def end(count: models.Count, caller: Caller) -> None:
    count.closed_at, count.closed_by = timezone.now(), caller.actor_id
    count.save(update_fields=["closed_at", "closed_by", "is_abandoned"])


def count_of(row: models.Count) -> Count:
    lines = models.CountLine.objects.filter(count_id=row.pk).order_by("product_id")
    return Count(
        id=row.pk,
        warehouse=row.warehouse.code,
        note=row.note,
        opened_at=row.opened_at,
        closed_at=row.closed_at,
        is_abandoned=row.is_abandoned,
        lines=lines_of(list(lines)),
    )


def lines_of(rows: Sequence[models.CountLine]) -> list[CountLine]:
    items = stock_models.Item.objects.in_bulk([row.product_id for row in rows])
    return [
        CountLine(
            product_id=row.product_id,
            sku=items[row.product_id].sku,
            name=items[row.product_id].name,
            counted=row.counted,
            book=row.book,
            variance=row.counted - row.book,
            counted_by=row.counted_by,
            counted_at=row.counted_at,
            posted_at=row.posted_at,
        )
        for row in rows
    ]


def row_of(count_id: UUID, caller: Caller) -> models.Count:
    rows = models.Count.objects.filter(within(scope_of(caller)), pk=count_id)
    row = rows.select_related("warehouse").first()
    if row is None:
        raise CountNotFound(count_id)
    return row


def locked(count_id: UUID, caller: Caller) -> models.Count:
    rows = models.Count.objects.select_for_update(no_key=True).filter(within(scope_of(caller)), pk=count_id)
    row = rows.first()
    if row is None:
        raise CountNotFound(count_id)
    return row


def _locked_open(count_id: UUID, caller: Caller) -> models.Count:
    count = locked(count_id, caller)
    if count.closed_at is not None:
        raise CountClosed
    return count
