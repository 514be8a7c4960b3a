"""Shipment of promised units, and returns."""

from collections.abc import Sequence
from uuid import UUID

from django.db import transaction

from inventory.reservations import sql
from inventory.reservations.holds import CONFIRMED, InvalidTransition, locked, open_parts, parts_of, take_out
from inventory.reservations.listing import Reservation, get_reservation
from inventory.stock import models as stock_models
from inventory.stock import sql as stock_sql
from inventory.stock import sql_claims
from inventory.stock.allocation import Demand, InsufficientStock, Shortage
from inventory.stock.claims import LISTED_PROMISES, StockPromised, promises_of
from inventory.stock.ledger import LevelOutOfRange
from inventory.stock.limits import MAX_LEVEL
from inventory.stock.sql import Change, Line
from inventory.stock.sql_claims import ClaimedLine
from inventory.stock.vocabulary import Kind, Reason
from shop.toolkit.callers import SYSTEM, Caller
from shop.toolkit.plurals import counted


@transaction.atomic(savepoint=False)
def fulfill(
    reservation_id: UUID,
    *,
    owner: str,
    items: Sequence[Demand] | None = None,
    caller: Caller,
    out_of_turn: bool = False,
) -> Reservation:
    """Ship units of a confirmed reservation from its warehouses: those of `items`, or all open ones.

    The oldest promise is served first: unless `out_of_turn`, units that older promises need are not shipped. Raises
    ReservationNotFound, NotTheOwner, InvalidTransition when nothing is left to ship, ExceedsOpen, InsufficientStock
    when fewer sellable units are on hand (a backorder that has not arrived, or units damaged since), StockPromised
    naming the older promises in the way.
    """
    state, reference, *_ = locked(reservation_id, owner, caller)
    if state != CONFIRMED:
        raise InvalidTransition(state)
    lines = sql_claims.lock_lines([reservation_id])
    parts = open_parts(state, lines, items)
    _refuse_absent(lines, parts)
    if not out_of_turn:
        _refuse_out_of_turn(reservation_id, lines, parts)
    take_out(reservation_id, lines, parts, column="fulfilled")
    stock_sql.post_movements(
        [
            Change(
                part.product_id,
                part.warehouse_id,
                on_hand=-part.quantity,
                committed=-part.quantity,
                reference=reference,
            )
            for part in parts
        ],
        kind=Kind.SHIP,
        reason=Reason.SALE,
        actor_id=caller.actor_id,
    )
    return get_reservation(reservation_id, caller=SYSTEM)


@transaction.atomic(savepoint=False)
def take_back(
    reservation_id: UUID, *, owner: str, items: Sequence[Demand], resalable: bool, note: str, caller: Caller
) -> Reservation:
    """Return shipped units to the warehouses they came from, for sale or as unavailable.

    No more units are accepted than were shipped. Raises ReservationNotFound, NotTheOwner, ExceedsOpen, LevelOutOfRange.
    """
    state, reference, *_ = locked(reservation_id, owner, SYSTEM)
    lines = sql_claims.lock_lines([reservation_id])
    shipped = [Line(line.product_id, line.warehouse_id, line.fulfilled - line.returned) for line in lines]
    parts = parts_of(state, shipped, items)
    on_hand = {(line.product_id, line.warehouse_id): line.on_hand for line in lines}
    if any(on_hand[part.product_id, part.warehouse_id] + part.quantity > MAX_LEVEL for part in parts):
        raise LevelOutOfRange(MAX_LEVEL)
    sql_claims.add_to_lines([(reservation_id, part) for part in parts], column="returned")
    stock_sql.post_movements(
        [
            Change(
                part.product_id,
                part.warehouse_id,
                on_hand=part.quantity,
                unavailable=0 if resalable else part.quantity,
                reference=reference,
            )
            for part in parts
        ],
        kind=Kind.RETURN,
        reason=Reason.RETURN,
        note=note,
        actor_id=caller.actor_id,
    )
    return get_reservation(reservation_id, caller=SYSTEM)


def _refuse_absent(lines: Sequence[ClaimedLine], parts: Sequence[Line]) -> None:
    """Refuse to ship more units than are on hand and not unavailable, whatever was promised."""
    sellable = {line.key: line.sellable for line in lines}
    short = [
        Shortage(part.product_id, part.quantity, sellable[part.key])
        for part in parts
        if part.quantity > sellable[part.key]
    ]
    if short:
        raise InsufficientStock(short)


def _refuse_out_of_turn(reservation_id: UUID, lines: Sequence[ClaimedLine], parts: Sequence[Line]) -> None:
    """Refuse to ship units that older promises need, if the stock does not cover all promises."""
    rows = {line.key: line for line in lines}
    scarce = [part for part in parts if rows[part.key].committed > rows[part.key].sellable]
    if not scarce:
        return
    older = sql.older_units(reservation_id, [part.key for part in scarce])
    early = [part for part in scarce if part.quantity > rows[part.key].sellable - older.get(part.key, 0)]
    if not early:
        return
    there, promised = rows[early[0].key].sellable, older.get(early[0].key, 0)
    sku = stock_models.Item.objects.get(pk=early[0].product_id).sku
    waiting = sql.older_promises(reservation_id, [part.key for part in early], limit=LISTED_PROMISES)
    raise StockPromised(
        promises_of(waiting),
        f"Older orders wait for {counted(promised, 'unit')} of {sku}, and {there:,} can be shipped. Ship them first.",
    )
