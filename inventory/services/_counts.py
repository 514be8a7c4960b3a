"""Stocktakes. A count is a document: people enter what they count, row by row, while sales go on."""

from collections.abc import Sequence
from uuid import UUID

from django.db import transaction
from django.db.models import Sum
from django.utils import timezone

from inventory import models, sql
from inventory.services._expiry import expire_overdue_before
from inventory.services._facts import (
    Count,
    CountClosed,
    CountEntry,
    CountLine,
    CountLinePosted,
    CountNotFound,
    CountObstacle,
    CountProgress,
    CountReview,
    ItemNotFound,
    LevelOutOfRange,
    NotCounted,
    Promise,
    RecountNeeded,
)
from inventory.services._ledger import locked_levels, taken_by
from inventory.services._reading import promises
from inventory.services._scopes import scope_of, within
from inventory.services._warehouses import warehouse_ids
from inventory.sql import Change, Key, Levels

NAMED_PROMISES = 5  # in a sentence


@transaction.atomic(savepoint=False)
def open_count(*, count_id: UUID, warehouse: str, note: str, actor_id: int | None) -> Count:
    """Open a count of one warehouse; others may be open there. Raises WarehouseNotFound."""
    warehouse_id = warehouse_ids([warehouse], actor_id=actor_id)[warehouse]
    models.Count(pk=count_id, warehouse_id=warehouse_id, note=note, opened_by=actor_id).save(force_insert=True)
    return get_count(count_id)


@transaction.atomic(savepoint=False)
def record_count(count_id: UUID, *, product_id: int, counted: int, actor_id: int | None) -> CountEntry:
    """Enter how many units of a product were counted, in place of what was entered before.

    What the book says at this moment is kept beside it. Raises CountNotFound, CountClosed, ItemNotFound,
    LevelOutOfRange.
    """
    return _enter(_open(count_id, actor_id), product_id, counted, actor_id)


@transaction.atomic(savepoint=False)
def add_to_count(count_id: UUID, *, product_id: int, quantity: int, actor_id: int | None) -> CountEntry:
    """Add units to what was counted of a product before, while what is on hand by the book is still the same.

    Where units came or went since the entry before, nobody knows which of them were counted. Raises what `record_count`
    raises, CountLinePosted for a line that is posted, RecountNeeded.
    """
    count = _open(count_id, actor_id)
    # Locked before it is asked: what is on hand stays what it is until the entry is written down.
    sql.lock_levels([(product_id, count.warehouse_id)])
    row = models.CountLine.objects.filter(count_id=count_id, product_id=product_id).first()
    if row is None:
        return _enter(count, product_id, quantity, actor_id)
    (line,) = _lines([row])
    if line.posted_at is not None:
        raise CountLinePosted(line.sku)
    later = models.Movement.objects.filter(product_id=product_id, warehouse_id=count.warehouse_id, seq__gt=row.book_seq)
    if later.exclude(on_hand_delta=0).exists():
        raise RecountNeeded(line.sku)
    return _enter(count, product_id, row.counted + quantity, actor_id)


@transaction.atomic(savepoint=False)
def remove_count_line(count_id: UUID, *, product_id: int, actor_id: int | None) -> CountLine:
    """Take a line that is not posted out of an open count, as if its product had not been counted; return it.

    Raises CountNotFound, CountClosed, NotCounted, CountLinePosted.
    """
    _open(count_id, actor_id)
    row = models.CountLine.objects.filter(count_id=count_id, product_id=product_id).first()
    if row is None:
        raise NotCounted(product_id)
    (line,) = _lines([row])
    if row.posted_at is not None:
        raise CountLinePosted(line.sku)
    row.delete()
    return line


@transaction.atomic(savepoint=False)
def abandon_count(count_id: UUID, *, actor_id: int | None) -> Count:
    """End a count without posting what is left of it. Repeating it is harmless.

    Raises CountNotFound; CountClosed when all of it is posted.
    """
    count = _locked(count_id, actor_id)
    if count.closed_at is None:
        count.is_abandoned = True
        _end(count, actor_id)
    elif not count.is_abandoned:
        raise CountClosed
    return get_count(count_id)


def review_count(count_id: UUID, *, visible_to: int | None = None) -> CountReview:
    """Tell what closing a count would do now: its lines with what differs, and what cannot be posted and why.

    With `visible_to`, of one of that user's scope. Raises CountNotFound.
    """
    row = _row(count_id, visible_to)
    open_lines = _open_lines(count_id)
    keys = [(line.product_id, row.warehouse_id) for line in open_lines]
    overdue = sql.overdue_units([product_id for product_id, _ in keys])
    levels = {
        key: found._replace(promised=found.promised - overdue.get(key, 0))
        for key, found in sql.read_levels(keys).items()
    }
    _, obstacles = _judge(row, open_lines, levels)
    return CountReview(_count(row), obstacles, [])


@transaction.atomic(savepoint=False)
def close_count(count_id: UUID, *, actor_id: int | None) -> CountReview:
    """Post the difference of every open line that can be posted, once; the count is closed when none is left.

    What came and went between counting and posting stays: the difference is added to what is on hand now. A count below
    what is unavailable lowers that as well. A line stays open, and is named, when its row was corrected since it was
    counted, or when units that are missing are promised. Closing a closed count is harmless. Raises CountNotFound.
    """
    count = _locked(count_id, actor_id)
    if count.closed_at is not None:
        return CountReview(get_count(count_id), [], [])
    open_lines = _open_lines(count_id)
    differing = [(line.product_id, count.warehouse_id) for line in open_lines if line.counted != line.book]
    expire_overdue_before([product_id for product_id, _ in differing])
    changes, obstacles = _judge(count, open_lines, locked_levels(differing))
    sql.post_movements(changes, kind=models.Kind.COUNT, reason=models.Reason.COUNT, actor_id=actor_id, note=count.note)
    stopped = {obstacle.product_id for obstacle in obstacles}
    posted = {line.product_id for line in open_lines} - stopped
    models.CountLine.objects.filter(count_id=count_id, product_id__in=posted).update(posted_at=timezone.now())
    if not obstacles:
        _end(count, actor_id)
    closed = get_count(count_id)
    return CountReview(closed, obstacles, [line for line in closed.lines if line.product_id in posted])


def count_progress(count_id: UUID, *, latest: int) -> CountProgress:
    """Return how far a count is, and its `latest` lines, the newest first."""
    rows = models.CountLine.objects.filter(count_id=count_id)
    totals = rows.aggregate(units=Sum("counted"))
    newest = _lines(list(rows.order_by("-counted_at", "-product_id")[:latest]))
    return CountProgress(rows.count(), totals["units"] or 0, newest)


def get_count(count_id: UUID, *, visible_to: int | None = None) -> Count:
    """Return a count with its lines by product; with `visible_to`, one of that user's scope. Raises CountNotFound."""
    return _count(_row(count_id, visible_to))


def _enter(count: models.Count, product_id: int, counted: int, actor_id: int | None) -> CountEntry:
    if not models.Item.objects.filter(pk=product_id).exists():
        raise ItemNotFound([product_id])
    if not 0 <= counted <= models.MAX_LEVEL:
        raise LevelOutOfRange(models.MAX_LEVEL)
    before = models.CountLine.objects.filter(count_id=count.pk, product_id=product_id).first()
    key = (product_id, count.warehouse_id)
    # Under the row's lock, so that no sale falls between the book's figure and its being written down.
    levels = sql.lock_levels([key]).get(key)
    row, _ = models.CountLine.objects.update_or_create(
        count_id=count.pk,
        product_id=product_id,
        defaults={
            "counted": counted,
            "book": levels.on_hand if levels else 0,
            "book_seq": levels.seq if levels else 0,
            "counted_by": actor_id,
            "counted_at": timezone.now(),
            "posted_at": None,
        },
    )
    (line,) = _lines([row])
    return CountEntry(line, before.counted if before else None)


def _judge(
    count: models.Count, open_lines: Sequence[models.CountLine], levels: dict[Key, Levels]
) -> tuple[list[Change], list[CountObstacle]]:
    """Return the changes of the lines that can be posted onto these levels, and why the others cannot."""
    corrected = sql.corrected_since_counted(count.pk)
    changes: list[Change] = []
    recounts: dict[int, str] = {}
    promised: list[tuple[Change, Levels]] = []
    for line in open_lines:
        if line.product_id in corrected:
            recounts[line.product_id] = "The stock was corrected after this was counted. Count it again."
            continue
        if line.counted == line.book:
            continue
        key = (line.product_id, count.warehouse_id)
        level = levels.get(key, NO_LEVELS)
        after = level.on_hand + line.counted - line.book
        lowered = min(0, after - level.unavailable)
        change = Change(*key, on_hand=line.counted - line.book, unavailable=lowered, reference=str(count.pk))
        if not 0 <= after <= models.MAX_LEVEL:
            recounts[line.product_id] = f"Posting this would leave {after:,} units on hand. Count it again."
        elif taken_by(change) > level.free:
            promised.append((change, level))
        else:
            changes.append(change)
    return changes, _obstacles(recounts, promised)


NO_LEVELS = Levels(on_hand=0, promised=0, unavailable=0, backorder_limit=0, seq=0)


def _obstacles(recounts: dict[int, str], promised: Sequence[tuple[Change, Levels]]) -> list[CountObstacle]:
    if not recounts and not promised:
        return []
    in_the_way: dict[int, list[Promise]] = {change.product_id: [] for change, _ in promised}
    for promise in promises([(change.product_id, change.warehouse_id) for change, _ in promised]):
        if not promise.is_overdue:
            in_the_way[promise.product_id].append(promise)
    items = models.Item.objects.in_bulk([*recounts, *in_the_way])
    obstacles = [CountObstacle(product_id, items[product_id].sku, said, []) for product_id, said in recounts.items()]
    for change, level in promised:
        found = in_the_way[change.product_id]
        said = (
            f"Missing: {taken_by(change):,}, free: {level.free:,}. Promised: {_named(found) or 'the others'}. "
            "Cancel an order or count again."
        )
        obstacles.append(CountObstacle(change.product_id, items[change.product_id].sku, said, found))
    return sorted(obstacles, key=lambda obstacle: obstacle.sku)


def _named(promises: Sequence[Promise]) -> str:
    named = ", ".join(f"{promise.quantity:,} to {promise.reference}" for promise in promises[:NAMED_PROMISES])
    more = len(promises) - NAMED_PROMISES
    return f"{named} and {more} more" if more > 0 else named


def _end(count: models.Count, actor_id: int | None) -> None:
    count.closed_at, count.closed_by = timezone.now(), actor_id
    count.save(update_fields=["closed_at", "closed_by", "is_abandoned"])


def _count(row: models.Count) -> Count:
    lines = models.CountLine.objects.filter(count_id=row.pk).order_by("product_id")
    return Count(
        id=row.pk,
        warehouse=row.warehouse.code,
        note=row.note,
        opened_at=row.opened_at,
        closed_at=row.closed_at,
        is_abandoned=row.is_abandoned,
        lines=_lines(list(lines)),
    )


def _lines(rows: Sequence[models.CountLine]) -> list[CountLine]:
    items = models.Item.objects.in_bulk([row.product_id for row in rows])
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


def _open_lines(count_id: UUID) -> list[models.CountLine]:
    return list(models.CountLine.objects.filter(count_id=count_id, posted_at__isnull=True).order_by("product_id"))


def _row(count_id: UUID, visible_to: int | None) -> models.Count:
    rows = models.Count.objects.filter(within(scope_of(visible_to)), pk=count_id)
    row = rows.select_related("warehouse").first()
    if row is None:
        raise CountNotFound(count_id)
    return row


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
