"""Stocktakes. A count is a document: people enter what they count, row by row, while sales go on."""

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
from inventory.stock.warehouses import warehouse_ids
from shop.toolkit.callers import SYSTEM, Caller
from shop.toolkit.refusals import Refusal


@dataclass(frozen=True)
class CountLine:
    """What was counted of one product, what the book said at that moment, and the difference.

    `posted_at` is when the stock was corrected by it, or found to be right; None while that is to be done.
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
    """What an entry made of a line; `before` is what had been counted, None for a first entry."""

    line: CountLine
    before: int | None


@dataclass(frozen=True)
class CountProgress:
    """How many products and units a count has, and its newest lines."""

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
    """The count is closed or abandoned; what was posted of it is in the ledger."""

    def __init__(self) -> None:
        super().__init__("This count is closed. Open another one.")


class NotCounted(Refusal):
    """The count has no line of this product."""

    def __init__(self, product_id: int) -> None:
        super().__init__(f"Product {product_id} has not been counted here.")


class CountLinePosted(Refusal):
    """The line was posted and is in the ledger; it stays in the count."""

    def __init__(self, sku: str) -> None:
        super().__init__(f"{sku} is posted already. To correct it, enter how many there are.")


class RecountNeeded(Refusal):
    """Units came or went after the line was counted, so nobody knows what a further unit is added to."""

    def __init__(self, sku: str) -> None:
        super().__init__(
            f"Units of {sku} came or went since it was counted. Remove the line and count again, or enter how many "
            "there are now."
        )


@transaction.atomic(savepoint=False)
def open_count(*, count_id: UUID, warehouse: str, note: str, caller: Caller) -> Count:
    """Open a count of one warehouse; others may be open there. Raises WarehouseNotFound."""
    warehouse_id = warehouse_ids([warehouse], caller=caller)[warehouse]
    models.Count(pk=count_id, warehouse_id=warehouse_id, note=note, opened_by=caller.actor_id).save(force_insert=True)
    return get_count(count_id, caller=SYSTEM)


@transaction.atomic(savepoint=False)
def record_count(count_id: UUID, *, product_id: int, counted: int, caller: Caller) -> CountEntry:
    """Enter how many units of a product were counted, in place of what was entered before.

    What the book says at this moment is kept beside it. Raises CountNotFound, CountClosed, ItemNotFound,
    LevelOutOfRange.
    """
    return _enter(opened(count_id, caller), product_id, counted, caller)


@transaction.atomic(savepoint=False)
def add_to_count(count_id: UUID, *, product_id: int, quantity: int, caller: Caller) -> CountEntry:
    """Add units to what was counted of a product before, while what is on hand by the book is still the same.

    Where units came or went since the entry before, nobody knows which of them were counted. Raises what `record_count`
    raises, CountLinePosted for a line that is posted, RecountNeeded.
    """
    count = opened(count_id, caller)
    # Locked before it is asked: what is on hand stays what it is until the entry is written down.
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
    """Take a line that is not posted out of an open count, as if its product had not been counted; return it.

    Raises CountNotFound, CountClosed, NotCounted, CountLinePosted.
    """
    opened(count_id, caller)
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
    """End a count without posting what is left of it. Repeating it is harmless.

    Raises CountNotFound; CountClosed when all of it is posted.
    """
    count = locked(count_id, caller)
    if count.closed_at is None:
        count.is_abandoned = True
        end(count, caller)
    elif not count.is_abandoned:
        raise CountClosed
    return get_count(count_id, caller=SYSTEM)


def count_progress(count_id: UUID, *, latest: int) -> CountProgress:
    """Return how far a count is, and its `latest` lines, the newest first."""
    rows = models.CountLine.objects.filter(count_id=count_id)
    totals = rows.aggregate(units=Sum("counted"))
    newest = lines_of(list(rows.order_by("-counted_at", "-product_id")[:latest]))
    return CountProgress(rows.count(), totals["units"] or 0, newest)


def get_count(count_id: UUID, *, caller: Caller) -> Count:
    """Return a count with its lines by product; with `visible_to`, one of that user's scope. Raises CountNotFound."""
    return count_of(row_of(count_id, caller))


def _enter(count: models.Count, product_id: int, counted: int, caller: Caller) -> CountEntry:
    if not stock_models.Item.objects.filter(pk=product_id).exists():
        raise ItemNotFound([product_id])
    if not 0 <= counted <= MAX_LEVEL:
        raise LevelOutOfRange(MAX_LEVEL)
    before = models.CountLine.objects.filter(count_id=count.pk, product_id=product_id).first()
    key = (product_id, count.warehouse_id)
    # Under the row's lock, so that no sale falls between the book's figure and its being written down.
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


def opened(count_id: UUID, caller: Caller) -> models.Count:
    count = locked(count_id, caller)
    if count.closed_at is not None:
        raise CountClosed
    return count
