"""Changes of stock by staff. Every change is a movement in the ledger."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict
from uuid import UUID

from django.db import transaction

from inventory.stock import metrics, models, sql
from inventory.stock.allocation import Demand, InsufficientStock, Shortage, allocate, summed
from inventory.stock.claims import StockPromised, expire_overdue_before, promises
from inventory.stock.history import Movement, movements
from inventory.stock.items import ItemNotFound, Stock, get_item
from inventory.stock.levels import Key, Levels
from inventory.stock.limits import MAX_LEVEL
from inventory.stock.scopes import in_scope, scope_of
from inventory.stock.sql import Change
from inventory.stock.vocabulary import Kind, Reason
from inventory.stock.warehouses import locked_warehouse_ids
from shop.toolkit.callers import SYSTEM, Caller
from shop.toolkit.plurals import counted
from shop.toolkit.refusals import Refusal


@dataclass(frozen=True)
class Level:
    """Units in one warehouse, by its code."""

    warehouse: str
    quantity: int


class PolicyChange(TypedDict, total=False):
    """Changes to the policy of a stock row; an absent key stays as it is."""

    safety_stock: int
    reorder_point: int | None
    backorder_limit: int


class LevelOutOfRange(Refusal):
    """A stock level would leave the range of 0 to `highest` units."""

    def __init__(self, highest: int) -> None:
        super().__init__(f"A stock level must be between 0 and {highest:,} units.")


class StaleQuantity(Refusal):
    """The units on hand are not what the caller expected; `current` is how many there are."""

    def __init__(self, current: int) -> None:
        self.current = current
        super().__init__(
            f"The stock on hand is {counted(current, 'unit')}, not what you expected. Check the quantity and try again."
        )


class StockInUse(Refusal):
    """The stock row still has units on hand or promised."""

    def __init__(self, warehouse: str, *, on_hand: int, promised: int) -> None:
        super().__init__(
            f"{warehouse} still has {counted(on_hand, 'unit')} of this product on hand and {promised:,} promised. "
            "Move or release them first."
        )


class SameWarehouse(Refusal):
    """A transfer from a warehouse to itself."""

    def __init__(self) -> None:
        super().__init__("A transfer needs two different warehouses.")


logger = logging.getLogger(__name__)


@transaction.atomic(savepoint=False)
def receive(*, product_id: int, levels: Sequence[Level], caller: Caller, reference: str, note: str) -> None:
    """Add received units to the stock of one product in these warehouses, all or none.

    Levels of one warehouse are summed; a level of 0 only creates the stock row. Raises WarehouseNotFound,
    ItemNotFound, LevelOutOfRange.
    """
    ids = locked_warehouse_ids({level.warehouse for level in levels}, caller=caller)
    units: dict[Key, int] = {}
    for level in levels:
        key = (product_id, ids[level.warehouse])
        units[key] = units.get(key, 0) + level.quantity
    locked = locked_levels(units)
    changes = [
        Change(*key, on_hand=quantity, reference=reference) for key, quantity in sorted(units.items()) if quantity
    ]
    _refuse_impossible(changes, locked)
    sql.post_movements(changes, kind=Kind.RECEIVE, reason=Reason.RECEIVED, actor_id=caller.actor_id, note=note)


@transaction.atomic(savepoint=False)
def adjust(
    *, product_id: int, warehouse: str, delta: int, reason: str, note: str, reference: str, caller: Caller
) -> Movement:
    """Add `delta` units, which may be negative, to the units on hand.

    Raises WarehouseNotFound, ItemNotFound, LevelOutOfRange, InsufficientStock when fewer units are there than would be
    removed, StockPromised when these units are promised.
    """
    key = (product_id, locked_warehouse_ids([warehouse], caller=caller)[warehouse])
    change = Change(*key, on_hand=delta, reference=reference)
    if delta < 0:
        expire_overdue_before([product_id])
    # Removing units is not a receipt, whatever the reason says.
    is_receipt = delta > 0 and reason == Reason.RECEIVED
    kind = Kind.RECEIVE if is_receipt else Kind.ADJUST
    return _post_adjustment(change, locked_levels([key]), reason=reason, note=note, caller=caller, kind=kind)


@transaction.atomic(savepoint=False)
def set_apart(
    *, product_id: int, warehouse: str, delta: int, reason: str, note: str, reference: str, caller: Caller
) -> Movement:
    """Make `delta` of the units on hand unavailable; a negative `delta` makes them available again.

    Raises WarehouseNotFound, ItemNotFound, InsufficientStock when there are too few units to set apart or to put back,
    StockPromised when they are promised.
    """
    key = (product_id, locked_warehouse_ids([warehouse], caller=caller)[warehouse])
    change = Change(*key, unavailable=delta, reference=reference)
    if delta > 0:
        expire_overdue_before([product_id])
    return _post_adjustment(change, locked_levels([key]), reason=reason, note=note, caller=caller)


@transaction.atomic(savepoint=False)
def discard(
    *, product_id: int, warehouse: str, quantity: int, reason: str, note: str, reference: str, caller: Caller
) -> Movement:
    """Write off `quantity` unavailable units: they are no longer on hand, nor unavailable.

    Raises WarehouseNotFound, ItemNotFound, InsufficientStock when fewer are unavailable.
    """
    key = (product_id, locked_warehouse_ids([warehouse], caller=caller)[warehouse])
    change = Change(*key, on_hand=-quantity, unavailable=-quantity, reference=reference)
    return _post_adjustment(change, locked_levels([key]), reason=reason, note=note, caller=caller)


@transaction.atomic(savepoint=False)
def set_on_hand(
    *,
    product_id: int,
    warehouse: str,
    quantity: int,
    expected_on_hand: int | None,
    reason: str,
    note: str,
    reference: str,
    caller: Caller,
) -> Movement:
    """Set the units on hand to `quantity` if they are `expected_on_hand` now.

    None as `expected_on_hand` skips that check, and is logged. Raises StaleQuantity, and whatever `adjust` raises.
    """
    key = (product_id, locked_warehouse_ids([warehouse], caller=caller)[warehouse])
    expire_overdue_before([product_id])
    locked = locked_levels([key])
    current = locked[key].on_hand
    if expected_on_hand is None:
        logger.warning("Product %d in %s was set without an expected quantity by %s", product_id, warehouse, caller)
    elif expected_on_hand != current:
        metrics.STALE_QUANTITIES.inc()
        raise StaleQuantity(current)
    change = Change(*key, on_hand=quantity - current, reference=reference)
    return _post_adjustment(change, locked, reason=reason, note=note, caller=caller)


@transaction.atomic(savepoint=False)
def sell(*, product_id: int, quantity: int, note: str, reference: str, caller: Caller) -> list[Movement]:
    """Remove units that were sold without a reservation, from the warehouses that a reserve would choose.

    Held and promised units are not taken. Only the caller's warehouses count. Raises ItemNotFound, InsufficientStock.
    """
    if not models.Item.objects.filter(pk=product_id).exists():
        raise ItemNotFound([product_id])
    expire_overdue_before([product_id])
    # No backorders here: only a unit on hand can be handed over.
    locked = in_scope(sql.lock_stock([product_id]), scope_of(caller))
    rows = [row._replace(backorder_limit=0) for row in locked]
    plan = allocate({product_id: quantity}, rows)
    if plan.shortages:
        raise InsufficientStock(plan.shortages)
    changes = [
        Change(line.product_id, line.warehouse_id, on_hand=-line.quantity, reference=reference) for line in plan.lines
    ]
    return movements(
        sql.post_movements(changes, kind=Kind.SHIP, reason=Reason.SALE, actor_id=caller.actor_id, note=note)
    )


@transaction.atomic(savepoint=False)
def transfer(
    *,
    transfer_id: UUID,
    from_warehouse: str,
    to_warehouse: str,
    items: Sequence[Demand],
    note: str,
    caller: Caller,
) -> list[Movement]:
    """Move units between two warehouses, all or none; `transfer_id` is the reference of the movements.

    Items of one product are summed. Raises SameWarehouse, WarehouseNotFound, ItemNotFound, LevelOutOfRange,
    InsufficientStock, StockPromised.
    """
    if from_warehouse == to_warehouse:
        raise SameWarehouse
    ids = locked_warehouse_ids({from_warehouse, to_warehouse}, caller=caller)
    source, target = ids[from_warehouse], ids[to_warehouse]
    units = sorted(summed(items).items())
    keys = [(product_id, place) for product_id, _ in units for place in (source, target)]
    expire_overdue_before([product_id for product_id, _ in units])
    locked = locked_levels(keys)
    reference = str(transfer_id)
    changes = [
        Change(product_id, place, on_hand=sign * quantity, reference=reference)
        for product_id, quantity in units
        for place, sign in ((source, -1), (target, 1))
    ]
    _refuse_impossible(changes, locked)
    return movements(
        sql.post_movements(changes, kind=Kind.TRANSFER, reason=Reason.TRANSFER, actor_id=caller.actor_id, note=note)
    )


@transaction.atomic(savepoint=False)
def set_policy(
    *,
    product_id: int,
    warehouse: str,
    changes: PolicyChange,
    caller: Caller,
) -> Stock:
    """Apply changes to the policy of a stock row. A reorder point of None removes it.

    Raises WarehouseNotFound, ItemNotFound, StockPromised when a lower backorder limit would not cover the promises.
    """
    key = (product_id, locked_warehouse_ids([warehouse], caller=caller)[warehouse])
    backorder_limit = changes.get("backorder_limit")
    if backorder_limit is not None:
        expire_overdue_before([product_id])
    levels = locked_levels([key])[key]
    if backorder_limit is not None and levels.promised + levels.unavailable > levels.on_hand + backorder_limit:
        raise StockPromised(promises([key]))
    # Setting a policy lists the row again if it was removed.
    models.Stock.objects.filter(product_id=product_id, warehouse_id=key[1]).update(**changes, is_listed=True)
    return next(stock for stock in get_item(product_id, caller=SYSTEM).stocks if stock.warehouse == warehouse)


@transaction.atomic(savepoint=False)
def remove_stock(*, product_id: int, warehouse: str, caller: Caller) -> None:
    """Remove an empty stock row and its policy. Repeating it is harmless.

    Its movements stay, and the row is shown again once it has units. Raises WarehouseNotFound, ItemNotFound, StockInUse
    while units are on hand or promised.
    """
    key = (product_id, locked_warehouse_ids([warehouse], caller=caller)[warehouse])
    if not models.Item.objects.filter(pk=product_id).exists():
        raise ItemNotFound([product_id])
    expire_overdue_before([product_id])
    levels = sql.lock_levels([key]).get(key)
    if levels is None:
        return
    if levels.on_hand or levels.promised:
        raise StockInUse(warehouse, on_hand=levels.on_hand, promised=levels.promised)
    row = models.Stock.objects.filter(product_id=product_id, warehouse_id=key[1])
    if levels.seq == 0:
        row.delete()
    else:
        row.update(is_listed=False, safety_stock=0, backorder_limit=0, reorder_point=None)


def _post_adjustment(
    change: Change,
    locked: Mapping[Key, Levels],
    *,
    reason: str,
    note: str,
    caller: Caller,
    kind: str = Kind.ADJUST,
) -> Movement:
    _refuse_impossible([change], locked)
    (posted,) = movements(sql.post_movements([change], kind=kind, reason=reason, actor_id=caller.actor_id, note=note))
    return posted


def locked_levels(keys: Iterable[Key]) -> dict[Key, Levels]:
    """Lock the stock rows with these keys in key order; create those that do not exist. Raises ItemNotFound."""
    keys = sorted(keys)
    locked = sql.lock_levels(keys)
    if len(locked) == len(set(keys)):
        return locked
    product_ids = {product_id for product_id, _ in keys}
    known = models.Item.objects.filter(pk__in=product_ids).values_list("product_id", flat=True)
    if unknown := product_ids - set(known):
        raise ItemNotFound(unknown)
    models.Stock.objects.bulk_create(
        [models.Stock(product_id=product_id, warehouse_id=warehouse_id) for product_id, warehouse_id in keys],
        ignore_conflicts=True,
    )
    return sql.lock_levels(keys)


def _refuse_impossible(changes: Iterable[Change], locked: Mapping[Key, Levels]) -> None:
    """Refuse changes that take more units than are free, or that exceed the highest level."""
    losses: list[tuple[Change, Levels]] = []
    absent: list[Shortage] = []
    for change in changes:
        levels = locked[change.product_id, change.warehouse_id]
        after = levels.on_hand + change.on_hand
        if after > MAX_LEVEL:
            raise LevelOutOfRange(MAX_LEVEL)
        if levels.unavailable + change.unavailable < 0:
            absent.append(Shortage(change.product_id, -change.unavailable, levels.unavailable))
        if taken_by(change) > levels.free:
            losses.append((change, levels))
    if absent:
        short = absent[0]
        sku = models.Item.objects.get(pk=short.product_id).sku
        has = counted(short.available, "unavailable unit")
        said = f"{sku} has {has}, fewer than the {short.requested:,} requested."
        raise InsufficientStock(absent, said)
    if not losses:
        return
    # If the units are on hand and not unavailable, only promises can be in the way.
    are_there = [(change, levels) for change, levels in losses if taken_by(change) <= levels.sellable]
    if found := promises([(change.product_id, change.warehouse_id) for change, _ in are_there]):
        raise StockPromised(found, f"{_why_refused(are_there)} Release the reservations in the way first.")
    raise InsufficientStock(
        [Shortage(change.product_id, taken_by(change), levels.free) for change, levels in losses], _why_refused(losses)
    )


def _why_refused(losses: Sequence[tuple[Change, Levels]]) -> str:
    """Return why the first of these losses is refused; the refusal lists all of them."""
    change, levels = losses[0]
    sku = models.Item.objects.get(pk=change.product_id).sku
    return (
        f"At most {counted(levels.free, 'unit')} of {sku} can be taken, not {taken_by(change):,}: "
        f"{levels.on_hand:,} on hand, {levels.unavailable:,} unavailable, {levels.promised:,} promised."
    )


def taken_by(change: Change) -> int:
    """Return how many sellable units a change removes or sets aside; negative for a gain."""
    return change.unavailable - change.on_hand
