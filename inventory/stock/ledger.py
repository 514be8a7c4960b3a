"""Staff change stock: every change is a movement of the ledger."""

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
from inventory.stock.warehouses import warehouse_ids
from shop.toolkit.callers import SYSTEM, Caller
from shop.toolkit.refusals import Refusal


@dataclass(frozen=True)
class Level:
    """Units in one warehouse, by its code."""

    warehouse: str
    quantity: int


class PolicyChange(TypedDict, total=False):
    """What is to change of a stock row's policy; what is absent stays."""

    safety_stock: int
    reorder_point: int | None
    backorder_limit: int


class LevelOutOfRange(Refusal):
    """A stock level would leave the range of 0 to `highest` units."""

    def __init__(self, highest: int) -> None:
        super().__init__(f"A stock level may be 0 to {highest:,} units.")


class StaleQuantity(Refusal):
    """The stock was not what the writer believed; `current` is what is on hand."""

    def __init__(self, current: int) -> None:
        self.current = current
        super().__init__(f"{current} units are on hand, which is not what was expected; look again.")


class StockInUse(Refusal):
    """The stock row holds units, or promises of them."""

    def __init__(self, warehouse: str, *, on_hand: int, promised: int) -> None:
        super().__init__(
            f"In {warehouse}, {on_hand:,} units are on hand and {promised:,} promised. Move them before you remove it."
        )


class SameWarehouse(Refusal):
    """A transfer from a warehouse to itself."""

    def __init__(self) -> None:
        super().__init__("A transfer needs two different warehouses.")


logger = logging.getLogger(__name__)


@transaction.atomic(savepoint=False)
def receive(*, product_id: int, levels: Sequence[Level], caller: Caller, reference: str, note: str) -> None:
    """Add units that arrived to one product's stock, warehouse by warehouse, all or none.

    Levels of one warehouse are summed; a level of 0 only opens the stock row. Raises WarehouseNotFound,
    ItemNotFound, LevelOutOfRange.
    """
    ids = warehouse_ids({level.warehouse for level in levels}, caller=caller)
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
    """Add `delta` units, which may be negative, to what is on hand.

    Raises WarehouseNotFound, ItemNotFound, LevelOutOfRange, InsufficientStock when more would go than is there,
    StockPromised when what would go is promised.
    """
    key = (product_id, warehouse_ids([warehouse], caller=caller)[warehouse])
    change = Change(*key, on_hand=delta, reference=reference)
    if delta < 0:
        expire_overdue_before([product_id])
    # Units that are taken off did not arrive, whatever the reason says.
    is_receipt = delta > 0 and reason == Reason.RECEIVED
    kind = Kind.RECEIVE if is_receipt else Kind.ADJUST
    return _post_adjustment(change, locked_levels([key]), reason=reason, note=note, caller=caller, kind=kind)


@transaction.atomic(savepoint=False)
def set_apart(
    *, product_id: int, warehouse: str, delta: int, reason: str, note: str, reference: str, caller: Caller
) -> Movement:
    """Make `delta` of the units on hand unavailable, or available again when it is negative.

    Raises WarehouseNotFound, ItemNotFound, InsufficientStock when there are not so many to set apart or to put back,
    StockPromised when they are promised.
    """
    key = (product_id, warehouse_ids([warehouse], caller=caller)[warehouse])
    change = Change(*key, unavailable=delta, reference=reference)
    if delta > 0:
        expire_overdue_before([product_id])
    return _post_adjustment(change, locked_levels([key]), reason=reason, note=note, caller=caller)


@transaction.atomic(savepoint=False)
def discard(
    *, product_id: int, warehouse: str, quantity: int, reason: str, note: str, reference: str, caller: Caller
) -> Movement:
    """Write off `quantity` units that are unavailable: they are gone from there and from what is on hand.

    Raises WarehouseNotFound, ItemNotFound, InsufficientStock when fewer are unavailable.
    """
    key = (product_id, warehouse_ids([warehouse], caller=caller)[warehouse])
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
    """Set what is on hand to `quantity`, if it is `expected_on_hand` now; None opts out of that check and is logged.

    Raises StaleQuantity with what is on hand, and what `adjust` raises.
    """
    key = (product_id, warehouse_ids([warehouse], caller=caller)[warehouse])
    expire_overdue_before([product_id])
    locked = locked_levels([key])
    current = locked[key].on_hand
    if expected_on_hand is None:
        logger.warning("Product %d in %s is set without an expected quantity by %s", product_id, warehouse, caller)
    elif expected_on_hand != current:
        metrics.STALE_QUANTITIES.inc()
        raise StaleQuantity(current)
    change = Change(*key, on_hand=quantity - current, reference=reference)
    return _post_adjustment(change, locked, reason=reason, note=note, caller=caller)


@transaction.atomic(savepoint=False)
def sell(*, product_id: int, quantity: int, note: str, reference: str, caller: Caller) -> list[Movement]:
    """Take units off that were sold without a reservation, from the warehouses that a reserve would choose.

    What others hold or were promised stays theirs; what is outside the actor's scope is not there for them. Raises
    ItemNotFound, InsufficientStock.
    """
    if not models.Item.objects.filter(pk=product_id).exists():
        raise ItemNotFound([product_id])
    expire_overdue_before([product_id])
    # Only what is there: a unit on backorder cannot be handed over.
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
    """Move units between two warehouses, all of both legs or nothing; `transfer_id` is their reference.

    Items of one product are summed. Raises SameWarehouse, WarehouseNotFound, ItemNotFound, LevelOutOfRange,
    InsufficientStock, StockPromised.
    """
    if from_warehouse == to_warehouse:
        raise SameWarehouse
    ids = warehouse_ids({from_warehouse, to_warehouse}, caller=caller)
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
    """Change what is named of a stock row's policy, keep the rest; a reorder point of None takes it away.

    Raises WarehouseNotFound, ItemNotFound, StockPromised when a lower backorder limit would not cover what is promised.
    """
    key = (product_id, warehouse_ids([warehouse], caller=caller)[warehouse])
    backorder_limit = changes.get("backorder_limit")
    if backorder_limit is not None:
        expire_overdue_before([product_id])
    levels = locked_levels([key])[key]
    if backorder_limit is not None and levels.promised + levels.unavailable > levels.on_hand + backorder_limit:
        raise StockPromised(promises([key]))
    # Who gives a row a policy keeps the product there, also where the row was removed before.
    models.Stock.objects.filter(product_id=product_id, warehouse_id=key[1]).update(**changes, is_listed=True)
    return next(stock for stock in get_item(product_id, caller=SYSTEM).stocks if stock.warehouse == warehouse)


@transaction.atomic(savepoint=False)
def remove_stock(*, product_id: int, warehouse: str, caller: Caller) -> None:
    """Remove a stock row that holds nothing, with its policy. Repeating it is harmless.

    Its movements stay, and it is shown again while it holds units. Raises WarehouseNotFound, ItemNotFound, StockInUse
    when there are units or promises.
    """
    key = (product_id, warehouse_ids([warehouse], caller=caller)[warehouse])
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
    """Lock the stock rows of these keys, opening those that are not there yet; for the services of this app.

    Raises ItemNotFound.
    """
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
    """Refuse changes that would take more than is free, whatever may be promised, or pass the highest level."""
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
        said = f"{short.requested:,} unavailable units of {sku} were asked for, and there are {short.available:,}."
        raise InsufficientStock(absent, said)
    if not losses:
        return
    # Where the units are there, only promises can stand in the way.
    are_there = [(change, levels) for change, levels in losses if taken_by(change) <= levels.sellable]
    if found := promises([(change.product_id, change.warehouse_id) for change, _ in are_there]):
        raise StockPromised(found, f"{_told(are_there)} Release or move the promises first.")
    raise InsufficientStock(
        [Shortage(change.product_id, taken_by(change), levels.free) for change, levels in losses], _told(losses)
    )


def _told(losses: Sequence[tuple[Change, Levels]]) -> str:
    """Return why the first of these losses is refused; the shortages name all."""
    change, levels = losses[0]
    sku = models.Item.objects.get(pk=change.product_id).sku
    return (
        f"{taken_by(change):,} units of {sku} were to go, and at most {levels.free:,} may: of {levels.on_hand:,} on "
        f"hand {levels.unavailable:,} are unavailable and {levels.promised:,} promised."
    )


def taken_by(change: Change) -> int:
    """Return how many sellable units a change takes away, by loss or by setting them aside; negative for a gain."""
    return change.unavailable - change.on_hand
