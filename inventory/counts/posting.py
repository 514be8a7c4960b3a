"""Posting of a count's differences to the ledger."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from inventory.counts import models, sql
from inventory.counts.counting import Count, CountLine, count_of, end, get_count, locked, row_of
from inventory.reservations import sql as reservations_sql
from inventory.stock import models as stock_models
from inventory.stock import sql as stock_sql
from inventory.stock.claims import Promise, expire_overdue_before, promises
from inventory.stock.ledger import locked_levels, taken_by
from inventory.stock.levels import Key, Levels
from inventory.stock.limits import MAX_LEVEL
from inventory.stock.sql import Change
from inventory.stock.vocabulary import Kind, Reason
from shop.toolkit.callers import SYSTEM, Caller
from shop.toolkit.plurals import counted

NAMED_PROMISES = 5  # in a sentence


@dataclass(frozen=True)
class CountObstacle:
    """Why a line of a count cannot be posted: a message with advice, and the promises in the way, if any."""

    product_id: int
    sku: str
    detail: str
    promises: list[Promise]


@dataclass(frozen=True)
class CountReview:
    """A count, its lines that cannot be posted, and those that closing it has just posted."""

    count: Count
    obstacles: list[CountObstacle]
    posted: list[CountLine]


def review_count(count_id: UUID, *, caller: Caller) -> CountReview:
    """Return what closing a count would do now: its lines, and why some of them cannot be posted.

    Only the caller's warehouses count. Raises CountNotFound.
    """
    row = row_of(count_id, caller)
    open_lines = _open_lines(count_id)
    keys = [(line.product_id, row.warehouse_id) for line in open_lines]
    overdue = reservations_sql.overdue_units([product_id for product_id, _ in keys])
    levels = {
        key: found._replace(promised=found.promised - overdue.get(key, 0))
        for key, found in stock_sql.read_levels(keys).items()
    }
    _, obstacles = _judge(row, open_lines, levels)
    return CountReview(count_of(row), obstacles, [])


@transaction.atomic(savepoint=False)
def close_count(count_id: UUID, *, caller: Caller) -> CountReview:
    """Post the difference of every open line that can be posted; close the count if no line is left open.

    Movements between counting and posting are kept: the difference is added to the units on hand now. A count below the
    unavailable units lowers these as well. A line stays open, with an obstacle, if its stock row was corrected after it
    was counted, or if its missing units are promised. Closing a closed count is harmless. Raises CountNotFound.
    """
    count = locked(count_id, caller)
    if count.closed_at is not None:
        return CountReview(get_count(count_id, caller=SYSTEM), [], [])
    open_lines = _open_lines(count_id)
    differing = [(line.product_id, count.warehouse_id) for line in open_lines if line.counted != line.book]
    expire_overdue_before([product_id for product_id, _ in differing])
    changes, obstacles = _judge(count, open_lines, locked_levels(differing))
    stock_sql.post_movements(changes, kind=Kind.COUNT, reason=Reason.COUNT, actor_id=caller.actor_id, note=count.note)
    stopped = {obstacle.product_id for obstacle in obstacles}
    posted = {line.product_id for line in open_lines} - stopped
    models.CountLine.objects.filter(count_id=count_id, product_id__in=posted).update(posted_at=timezone.now())
    if not obstacles:
        end(count, caller)
    closed = get_count(count_id, caller=SYSTEM)
    return CountReview(closed, obstacles, [line for line in closed.lines if line.product_id in posted])


def _judge(
    count: models.Count, open_lines: Sequence[models.CountLine], levels: dict[Key, Levels]
) -> tuple[list[Change], list[CountObstacle]]:
    """Return the changes of the lines that can be posted to these levels, and the obstacles of the others."""
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
        if not 0 <= after <= MAX_LEVEL:
            recounts[line.product_id] = f"Posting this would leave {counted(after, 'unit')} on hand. Count it again."
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
    items = stock_models.Item.objects.in_bulk([*recounts, *in_the_way])
    obstacles = [CountObstacle(product_id, items[product_id].sku, said, []) for product_id, said in recounts.items()]
    for change, level in promised:
        found = in_the_way[change.product_id]
        said = (
            f"{counted(taken_by(change), 'unit')} missing, but only {level.free:,} free; the others are promised"
            f"{_listed(found)}. Cancel an order or count again."
        )
        obstacles.append(CountObstacle(change.product_id, items[change.product_id].sku, said, found))
    return sorted(obstacles, key=lambda obstacle: obstacle.sku)


def _listed(promises: Sequence[Promise]) -> str:
    """Return " (3 to A, 1 to B)", with at most NAMED_PROMISES of the promises; empty without any."""
    named = ", ".join(f"{promise.quantity:,} to {promise.reference}" for promise in promises[:NAMED_PROMISES])
    more = len(promises) - NAMED_PROMISES
    return f" ({named} and {more} more)" if more > 0 else f" ({named})" if named else ""


def _open_lines(count_id: UUID) -> list[models.CountLine]:
    return list(models.CountLine.objects.filter(count_id=count_id, posted_at__isnull=True).order_by("product_id"))
