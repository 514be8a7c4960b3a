"""Stocktakes. A count is a document: people enter what they count, row by row, while sales go on."""

from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from inventory import models, sql
from inventory.services._facts import (
    Count,
    CountClosed,
    CountLine,
    CountNotFound,
    CountOpen,
    ItemNotFound,
    LevelOutOfRange,
)
from inventory.services._ledger import post_variances
from inventory.services._scopes import scope_of, within
from inventory.services._warehouses import warehouse_ids
from shop.toolkit import transactions


@transaction.atomic(savepoint=False)
def open_count(*, count_id: UUID, warehouse: str, note: str, actor_id: int | None) -> Count:
    """Open a count of one warehouse, of which there is one at a time. Raises WarehouseNotFound, CountOpen."""
    warehouse_id = warehouse_ids([warehouse], actor_id=actor_id)[warehouse]
    try:
        models.Count(pk=count_id, warehouse_id=warehouse_id, note=note, opened_by=actor_id).save(force_insert=True)
    except IntegrityError as error:
        if transactions.violated_constraint(error) == "inventory_count_open_once":
            raise CountOpen(warehouse) from error
        raise
    return get_count(count_id)


@transaction.atomic(savepoint=False)
def record_count(count_id: UUID, *, product_id: int, counted: int, actor_id: int | None) -> None:
    """Enter what was counted of a product, and keep beside it what the book says at this moment.

    Entering a product again replaces what was entered before. Raises CountNotFound, CountClosed, ItemNotFound,
    LevelOutOfRange.
    """
    count = _open(count_id, actor_id)
    if not 0 <= counted <= models.MAX_LEVEL:
        raise LevelOutOfRange(models.MAX_LEVEL)
    if not models.Item.objects.filter(pk=product_id).exists():
        raise ItemNotFound([product_id])
    key = (product_id, count.warehouse_id)
    # Under the row's lock, so that no sale falls between the book's figure and its being written down.
    levels = sql.lock_levels([key]).get(key)
    models.CountLine.objects.update_or_create(
        count_id=count_id,
        product_id=product_id,
        defaults={
            "counted": counted,
            "book": levels.on_hand if levels else 0,
            "counted_by": actor_id,
            "counted_at": timezone.now(),
        },
    )


@transaction.atomic(savepoint=False)
def close_count(count_id: UUID, *, actor_id: int | None) -> Count:
    """Post the difference of every row that differs from the book it was counted against, once.

    Sales between the counting and the closing stay what they were: the difference is added to what is on hand now.
    Closing again is harmless. Raises CountNotFound, StockPromised, LevelOutOfRange, InsufficientStock; then nothing is
    posted and the count stays open.
    """
    count = _locked(count_id, actor_id)
    if count.closed_at is None:
        lines = models.CountLine.objects.filter(count_id=count_id)
        post_variances(
            {(line.product_id, count.warehouse_id): line.counted - line.book for line in lines},
            reference=str(count_id),
            note=count.note,
            actor_id=actor_id,
        )
        count.closed_at, count.closed_by = timezone.now(), actor_id
        count.save(update_fields=["closed_at", "closed_by"])
    return get_count(count_id)


def get_count(count_id: UUID, *, visible_to: int | None = None) -> Count:
    """Return a count with its rows by product; with `visible_to`, one of that user's scope. Raises CountNotFound."""
    rows = models.Count.objects.filter(within(scope_of(visible_to)), pk=count_id)
    row = rows.select_related("warehouse").first()
    if row is None:
        raise CountNotFound(count_id)
    lines = models.CountLine.objects.filter(count_id=count_id).order_by("product_id")
    return Count(
        id=row.pk,
        warehouse=row.warehouse.code,
        note=row.note,
        opened_at=row.opened_at,
        closed_at=row.closed_at,
        lines=[
            CountLine(
                line.product_id, line.counted, line.book, line.counted - line.book, line.counted_by, line.counted_at
            )
            for line in lines
        ],
    )


def _locked(count_id: UUID, actor_id: int | None) -> models.Count:
    rows = models.Count.objects.select_for_update(no_key=True).filter(within(scope_of(actor_id)), pk=count_id)
    row = rows.first()
    if row is None:
        raise CountNotFound(count_id)
    return row


def _open(count_id: UUID, actor_id: int | None) -> models.Count:
    count = _locked(count_id, actor_id)
    if count.closed_at is not None:
        raise CountClosed
    return count
