"""The steps of an order after checkout. Each is a compare-and-set on its status, under the order's lock."""

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction

from inventory import services as inventory
from orders import models, sql
from orders.checkout import HoldLimitReached, PriceChange, PriceChanged, Wish, checkout, held_from
from orders.listing import (
    CHANGE,
    CONFIRM,
    OWNER,
    Order,
    OrderNotFound,
    events_of,
    lines_of,
    order_of,
    orders_of,
    visible,
)
from products import services as products
from shop.toolkit import money
from shop.toolkit.callers import SYSTEM, Caller, System
from shop.toolkit.ids import new_id
from shop.toolkit.refusals import Refusal
from shop.toolkit.telemetry.logs import tell_at_commit
from users import services as users


class InvalidTransition(Refusal):
    """The status of the order does not allow this step."""

    def __init__(self, number: str, current_status: str) -> None:
        self.current_status = current_status
        super().__init__(f"Order {number} is {current_status}; this step is not possible.")


PENDING, EXPIRED, CONFIRMED = models.Status.PENDING, models.Status.EXPIRED, models.Status.CONFIRMED
PARTLY, FULFILLED, CANCELLED = models.Status.PARTIALLY_FULFILLED, models.Status.FULFILLED, models.Status.CANCELLED
SWEPT_AT_ONCE = 500

logger = logging.getLogger(__name__)


@transaction.atomic(savepoint=False)
def confirm_order(order_id: UUID, *, caller: Caller, payment_reference: str, now: datetime) -> Order:
    """Confirm a pending order and commit its stock.

    Repeating it is harmless, even after shipping; a payment reference is then recorded only if there was none.

    After the deadline of its hold, an order can be confirmed late: for LATE_CONFIRM_SECONDS, while every product is on
    sale at the price of the order. If the hold has expired, its units are reserved again in the same transaction.
    Raises OrderNotFound, InvalidTransition, PriceChanged, HoldLimitReached, inventory.InsufficientStock.
    """
    row = _locked(order_id, caller, CONFIRM)
    if row.status in (CONFIRMED, PARTLY, FULFILLED):
        if payment_reference and not row.payment_reference:
            # Confirmed before it was paid. From now on its units no longer count as unpaid.
            row.payment_reference, row.updated_at = payment_reference, now
            row.save(update_fields=["payment_reference", "updated_at"])
        return orders_of([row])[0]
    if row.status not in (PENDING, EXPIRED):
        raise InvalidTransition(row.number, row.status)
    lines = lines_of([row])[row.pk]
    # Locked before its state is read: a concurrent expiry must not end the hold in between.
    hold = inventory.lock_hold(row.reservation_id, owner=OWNER)
    if hold.state == EXPIRED or hold.late_by > timedelta(0):
        _refuse_late(row, lines, hold, is_paid=bool(payment_reference), now=now)
    if hold.state == EXPIRED:
        row.reservation_id = _reserve_again(row, lines, caller)
    row.payment_reference = payment_reference
    _move(row, CONFIRMED, event=models.Event.CONFIRMED, caller=caller, reason="", now=now)
    events = events_of([row])[row.pk]
    reservation = inventory.confirm(row.reservation_id, owner=OWNER, caller=System(caller.actor_id))
    return order_of(row, lines, events, reservation)


@transaction.atomic(savepoint=False)
def place_order(*, user_id: int, wishes: Sequence[Wish], caller: Caller, now: datetime) -> Order:
    """Check out and confirm in one transaction, or do nothing. Raises what `checkout` raises."""
    order = checkout(user_id=user_id, wishes=wishes, caller=caller, now=now)
    # Whoever may place it for this buyer has been asked already.
    return confirm_order(order.id, caller=System(caller.actor_id), payment_reference="", now=now)


@transaction.atomic(savepoint=False)
def cancel_order(order_id: UUID, *, caller: Caller, now: datetime, reason: str = "") -> Order:
    """Cancel all unshipped units and release their stock. Repeating it is harmless.

    An expired order holds nothing; only a caller who may change all orders can cancel it, to prevent a late confirm.
    Raises OrderNotFound, InvalidTransition.
    """
    row = _locked(order_id, caller, CHANGE)
    if row.status == CANCELLED:
        return orders_of([row])[0]
    if row.status not in (PENDING, EXPIRED, CONFIRMED, PARTLY):
        raise InvalidTransition(row.number, row.status)
    is_expired = inventory.lock_hold(row.reservation_id, owner=OWNER).state == EXPIRED
    if is_expired and not caller.may(CHANGE):
        raise InvalidTransition(row.number, EXPIRED)
    _move(row, CANCELLED, event=models.Event.CANCELLED, caller=caller, reason=reason, now=now)
    sql.cancel_open_lines(order_id)
    lines, events = lines_of([row])[row.pk], events_of([row])[row.pk]
    if is_expired:
        reservation = inventory.get_reservation(row.reservation_id, caller=SYSTEM)
    else:
        reservation = inventory.release(row.reservation_id, owner=OWNER, caller=System(caller.actor_id))
    return order_of(row, lines, events, reservation)


@transaction.atomic(savepoint=False)
def fulfill_order(
    order_id: UUID,
    *,
    items: Sequence[inventory.Demand] | None,
    caller: Caller,
    now: datetime,
    out_of_turn: bool = False,
) -> Order:
    """Ship units of a confirmed order from the warehouses of its reservation: `items`, or all open units.

    Lines of one product are shipped in their order. Raises OrderNotFound, InvalidTransition when nothing is left to
    ship, inventory.ExceedsOpen, inventory.InsufficientStock, and unless `out_of_turn` inventory.StockPromised when
    older promises need the units.
    """
    row = _locked(order_id, caller, CHANGE)
    if row.status not in (CONFIRMED, PARTLY):
        raise InvalidTransition(row.number, row.status)
    lines = lines_of([row])[row.pk]
    _spread(lines, items, "fulfilled", lambda line: line.quantity - line.fulfilled - line.cancelled)
    is_done = all(line.quantity == line.fulfilled + line.cancelled for line in lines)
    status = FULFILLED if is_done else PARTLY
    _move(row, status, event=status.value, caller=caller, reason="", now=now)
    events = events_of([row])[row.pk]
    # Last, since it locks stock. If it refuses, the transaction undoes the steps above.
    reservation = inventory.fulfill(
        row.reservation_id, owner=OWNER, items=items, caller=System(caller.actor_id), out_of_turn=out_of_turn
    )
    return order_of(row, lines, events, reservation)


@transaction.atomic(savepoint=False)
def return_items(
    order_id: UUID,
    *,
    items: Sequence[inventory.Demand],
    resalable: bool,
    note: str,
    caller: Caller,
    now: datetime,
) -> Order:
    """Take back shipped units, for sale or as unavailable. No more units are accepted than were shipped.

    Raises OrderNotFound, inventory.ExceedsOpen, inventory.LevelOutOfRange.
    """
    row = _locked(order_id, caller, CHANGE)
    lines = lines_of([row])[row.pk]
    _spread(lines, items, "returned", lambda line: line.fulfilled - line.returned)
    _move(row, row.status, event=models.Event.RETURNED, caller=caller, reason=note, now=now)
    events = events_of([row])[row.pk]
    reservation = inventory.take_back(
        row.reservation_id, owner=OWNER, items=items, resalable=resalable, note=note, caller=System(caller.actor_id)
    )
    return order_of(row, lines, events, reservation)


@transaction.atomic(savepoint=False)
def expire_due(*, limit: int, now: datetime) -> int:
    """Expire up to `limit` overdue holds, and the orders whose hold has ended; return how many holds.

    Any number of these may run at once.
    """
    expired = inventory.expire_due(limit=limit)
    pending = (
        models.Order.objects.filter(status=PENDING).order_by("id").select_for_update(skip_locked=True, no_key=True)
    )
    orders_by_hold = {row.reservation_id: row.pk for row in pending[:SWEPT_AT_ONCE]}
    gone = [orders_by_hold[hold] for hold in inventory.expired_among(orders_by_hold)]
    models.Order.objects.filter(pk__in=gone, status=PENDING).update(status=EXPIRED, updated_at=now)
    sql.record_event(gone, event=models.Event.EXPIRED, actor_id=None, reason="", now=now)
    for order_id in gone:
        tell_at_commit(logger, "order expired", order_id=order_id)
    return expired


def _locked(order_id: UUID, caller: Caller, permission: str) -> models.Order:
    row = visible(caller, permission).select_for_update(no_key=True).filter(pk=order_id).first()
    if row is None:
        raise OrderNotFound(order_id)
    return row


def _move(row: models.Order, status: str, *, event: str, caller: Caller, reason: str, now: datetime) -> None:
    """Save the new status with the payment reference and reservation of `row`, and record the event."""
    row.status, row.updated_at = status, now
    sql.move_order(
        row.pk,
        status=status,
        payment_reference=row.payment_reference,
        reservation_id=row.reservation_id,
        event=event,
        actor_id=caller.actor_id,
        reason=reason,
        now=now,
    )
    tell_at_commit(
        logger, f"order {event}", order_id=row.pk, number=row.number, user_id=row.user_id, actor_id=caller.actor_id
    )


def _refuse_late(
    row: models.Order, lines: Sequence[models.OrderLine], hold: inventory.Hold, *, is_paid: bool, now: datetime
) -> None:
    """Refuse a late confirm that is too late, or that a new checkout would refuse as well.

    Otherwise an expired order would keep its old price available for ever.
    """
    if hold.late_by > timedelta(seconds=settings.LATE_CONFIRM_SECONDS):
        raise InvalidTransition(row.number, EXPIRED)
    offers = products.find_offers({line.product_id for line in lines})
    if changes := _price_changes(row, lines, offers):
        is_short = hold.state == EXPIRED
        demand = [inventory.Demand(line.product_id, line.quantity) for line in lines]
        raise PriceChanged(changes, inventory.shortages(demand) if is_short else [])
    limit = settings.MAX_HELD_UNITS_PER_USER
    if is_paid or limit is None:
        return
    users.lock_user(row.user_id)
    held = sql.unpaid_units(row.user_id, held_from=held_from(now), without=row.pk)
    asked = sum(line.quantity for line in lines)
    if held + asked > limit:
        raise HoldLimitReached(limit=limit, held=held, asked=asked)


def _price_changes(
    row: models.Order, lines: Sequence[models.OrderLine], offers: Mapping[int, products.Offer]
) -> list[PriceChange]:
    changes = {}
    for line in lines:
        offer, expected = offers.get(line.product_id), money.to_minor_unit(line.unit_price, row.currency)
        if offer is None:
            changes[line.product_id] = PriceChange(line.product_id, expected, None, row.currency)
        elif (offer.price, offer.currency) != (expected, row.currency):
            changes[line.product_id] = PriceChange(line.product_id, expected, offer.price, offer.currency)
    return list(changes.values())


def _reserve_again(row: models.Order, lines: Sequence[models.OrderLine], caller: Caller) -> UUID:
    """Hold the order's units again; return the id of the new reservation."""
    return inventory.reserve(
        reservation_id=new_id(),
        owner=OWNER,
        reference=row.number,
        demand=[inventory.Demand(line.product_id, line.quantity) for line in lines],
        ttl=timedelta(seconds=settings.RESERVATION_TTL_SECONDS),
        caller=System(caller.actor_id),
    ).id


def _spread(
    lines: Sequence[models.OrderLine],
    items: Sequence[inventory.Demand] | None,
    column: str,
    room: Callable[[models.OrderLine], int],
) -> None:
    """Add units to `column` of the lines in their order, each up to its `room`. Inventory checks the total."""
    left: dict[int, int] = {}
    for item in items or ():
        left[item.product_id] = left.get(item.product_id, 0) + item.quantity
    changed: list[tuple[int, int]] = []
    for line in lines:
        units = room(line) if items is None else min(room(line), left.get(line.product_id, 0))
        if units:
            left[line.product_id] = left.get(line.product_id, 0) - units
            setattr(line, column, getattr(line, column) + units)
            changed.append((line.position, units))
    sql.add_to_lines(lines[0].order_id, changed, column=column)
