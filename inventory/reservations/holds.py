"""Reservations: units are held, confirmed and released."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal
from uuid import UUID

from django.db import IntegrityError, transaction

from inventory.reservations import sql
from inventory.reservations.listing import (
    Reservation,
    ReservationLine,
    ReservationNotFound,
    get_reservation,
    is_within_scope,
)
from inventory.reservations.sql import LockedReservation
from inventory.stock import metrics, sql_claims
from inventory.stock import models as stock_models
from inventory.stock import sql as stock_sql
from inventory.stock.allocation import Demand, InsufficientStock, Shortage, allocate, summed
from inventory.stock.claims import expire_overdue, release_change
from inventory.stock.items import ItemNotFound
from inventory.stock.scopes import in_scope, scope_of
from inventory.stock.sql import Change, Line
from inventory.stock.sql_claims import ClaimedLine
from inventory.stock.vocabulary import Kind, State
from shop.toolkit.callers import SYSTEM, Caller
from shop.toolkit.db import transactions
from shop.toolkit.plurals import counted
from shop.toolkit.refusals import Refusal
from shop.toolkit.telemetry.metrics import count_at_commit


@dataclass(frozen=True)
class Hold:
    """The state of a reservation, and how long ago its deadline was by the database's clock; negative before it."""

    state: str
    late_by: timedelta


class NotTheOwner(Refusal):
    """The reservation belongs to `owner`, which must change it itself to keep its own records consistent."""

    def __init__(self, owner: str) -> None:
        self.owner = owner
        super().__init__(f"This reservation is managed by {owner}. Change it there.")


class ReferenceInUse(Refusal):
    """This reference already has an open reservation."""

    def __init__(self, reference: str) -> None:
        super().__init__(f"{reference} already has an open reservation. Release it first, or use another reference.")


class InvalidTransition(Refusal):
    """The state of the reservation does not allow this step."""

    def __init__(self, current_status: str) -> None:
        self.current_status = current_status
        super().__init__(f"The reservation is {current_status}; this step is not possible.")


class ExceedsOpen(InvalidTransition):
    """More units were requested than the reservation has left to ship, release or return."""

    def __init__(self, current_status: str, shortages: Sequence[Shortage]) -> None:
        super().__init__(current_status)
        self.shortages = list(shortages)
        self.args = ("More units were requested than the reservation has left. Ask for fewer units.",)


class HoldLimitReached(Refusal):
    """The hold would exceed its maximum age; it can last `left` more seconds from now."""

    def __init__(self, left: int) -> None:
        super().__init__(
            f"This hold can last {counted(left, 'more second')}. Ask for at most that."
            if left > 0
            else "This hold has reached its maximum age. Reserve again."
        )


HELD, CONFIRMED, FULFILLED = State.HELD, State.CONFIRMED, State.FULFILLED
RELEASED = State.RELEASED


@transaction.atomic(savepoint=False)
def reserve(
    *,
    reservation_id: UUID,
    owner: str,
    reference: str,
    demand: Sequence[Demand],
    ttl: timedelta,
    caller: Caller,
) -> Reservation:
    """Hold every line for `ttl`, or none, in two statements for any number of lines.

    Call it last in a transaction: it locks the stock rows until the commit. Lines of one product are summed. If units
    are short and overdue holds claim some of them, these holds are expired and the whole transaction is repeated; so
    `transactions.run` must run it, else AssertionError. Only `owner` can change the reservation later. Only the
    caller's warehouses count. Raises InsufficientStock naming every product that is short, ItemNotFound naming every
    unknown one, ReferenceInUse.
    """
    transactions.assert_repeatable("inventory.reserve")
    wanted = summed(demand)
    with metrics.LOCK_SECONDS.time():
        rows = in_scope(stock_sql.lock_stock(wanted), scope_of(caller))
    plan = allocate(wanted, rows)
    if plan.shortages:
        _refuse_unknown(set(wanted) - {row.product_id for row in rows})
        _refuse(plan.shortages)
    try:
        created_at, expires_at = sql.reserve(
            reservation_id, owner=owner, reference=reference, actor_id=caller.actor_id, ttl=ttl, lines=plan.lines
        )
    except IntegrityError as error:
        if transactions.violated_constraint(error) == "inventory_reservation_open_once":
            raise ReferenceInUse(reference) from error
        raise
    count_at_commit(metrics.HELD)
    codes = {row.warehouse_id: row.warehouse for row in rows}
    return Reservation(
        id=reservation_id,
        reference=reference,
        state=HELD.value,
        created_at=created_at,
        expires_at=expires_at,
        ended_at=None,
        lines=[
            ReservationLine(line.product_id, codes[line.warehouse_id], line.quantity, line.quantity, 0, 0, 0, 0)
            for line in plan.lines
        ],
    )


@transaction.atomic(savepoint=False)
def reserve_on_sale(
    *,
    reservation_id: UUID,
    owner: str,
    reference: str,
    demand: Sequence[Demand],
    ttl: timedelta,
    caller: Caller,
) -> Reservation:
    """Hold as `reserve` does, for a caller that has not checked whether the products are on sale.

    Raises what `reserve` raises; ItemNotFound names archived products too.
    """
    wanted = {line.product_id for line in demand}
    on_sale = stock_models.Item.objects.filter(pk__in=wanted, is_active=True).values_list("product_id", flat=True)
    if missing := wanted - set(on_sale):
        raise ItemNotFound(missing)
    return reserve(
        reservation_id=reservation_id,
        owner=owner,
        reference=reference,
        demand=demand,
        ttl=ttl,
        caller=caller,
    )


@transaction.atomic(savepoint=False)
def extend(
    reservation_id: UUID,
    *,
    owner: str,
    ttl: timedelta | None,
    usual: timedelta,
    max_age: timedelta,
    caller: Caller,
) -> Reservation:
    """Extend a hold to `ttl` from now. Without `ttl`, extend it to `usual` from now, or as far as `max_age` allows.

    Raises ReservationNotFound, NotTheOwner, InvalidTransition when it is no longer held, HoldLimitReached when it would
    become older than `max_age`.
    """
    state = locked(reservation_id, owner, caller).state
    if state != HELD:
        raise InvalidTransition(state)
    left = sql.time_left(reservation_id, max_age=max_age)
    if left <= timedelta(0) or (ttl is not None and ttl > left):
        raise HoldLimitReached(int(left.total_seconds()))
    sql.extend_reservation(reservation_id, ttl=usual if ttl is None else ttl, max_age=max_age)
    return get_reservation(reservation_id, caller=SYSTEM)


@transaction.atomic(savepoint=False)
def confirm(reservation_id: UUID, *, owner: str, caller: Caller) -> Reservation:
    """Turn a hold into a commitment: its units are promised without a deadline.

    An overdue hold can be confirmed until it is expired. Repeating it is harmless, even after the units were shipped.
    Raises ReservationNotFound, NotTheOwner, InvalidTransition.
    """
    state, reference, *_ = locked(reservation_id, owner, caller)
    if state in (CONFIRMED, FULFILLED):
        return get_reservation(reservation_id, caller=SYSTEM)
    if state != HELD:
        raise InvalidTransition(state)
    # Stock rows first: a concurrent reserve for this reference has locked them and waits for the reservation.
    lines = sql_claims.lock_lines([reservation_id])
    sql.confirm_reservation(reservation_id)
    count_at_commit(metrics.CONFIRMED)
    stock_sql.post_movements(
        [
            Change(line.product_id, line.warehouse_id, reserved=-line.open, committed=line.open, reference=reference)
            for line in lines
        ],
        kind=Kind.COMMIT,
        actor_id=caller.actor_id,
    )
    return get_reservation(reservation_id, caller=SYSTEM)


@transaction.atomic(savepoint=False)
def release(
    reservation_id: UUID,
    *,
    owner: str,
    items: Sequence[Demand] | None = None,
    caller: Caller,
) -> Reservation:
    """Release units that a held or confirmed reservation claims: those of `items`, or all open ones.

    Repeating a full release is harmless. Raises ReservationNotFound, NotTheOwner, InvalidTransition, ExceedsOpen.
    """
    state, reference, *_ = locked(reservation_id, owner, caller)
    if state == RELEASED and items is None:
        return get_reservation(reservation_id, caller=SYSTEM)
    if state not in (HELD, CONFIRMED):
        raise InvalidTransition(state)
    lines = sql_claims.lock_lines([reservation_id])
    parts = open_parts(state, lines, items)
    if take_out(reservation_id, lines, parts, column="released"):
        count_at_commit(metrics.RELEASED)
    stock_sql.post_movements(
        [release_change(part, state, reference) for part in parts], kind=Kind.RELEASE, actor_id=caller.actor_id
    )
    return get_reservation(reservation_id, caller=SYSTEM)


@transaction.atomic(savepoint=False)
def lock_hold(reservation_id: UUID, *, owner: str) -> Hold:
    """Lock a reservation until the commit, and return its state.

    Raises ReservationNotFound, NotTheOwner.
    """
    found = locked(reservation_id, owner, SYSTEM)
    return Hold(found.state, found.late_by)


def _refuse(shortages: Sequence[Shortage]) -> None:
    refusal = InsufficientStock(shortages)
    short = [shortage.product_id for shortage in shortages]
    if sql.overdue_units(short):
        # Reservations must be locked before stock rows, and this transaction has locked stock rows. So it is rolled
        # back, the overdue holds are expired in the right order, and the transaction is repeated.
        raise transactions.Repeat(first=lambda: expire_overdue(short), refusal=refusal)
    metrics.count_shortages(shortages)
    raise refusal


def _refuse_unknown(product_ids: Collection[int]) -> None:
    """Raise ItemNotFound for unknown products; a product that merely has no stock row is out of stock."""
    if not product_ids:
        return
    known = set(stock_models.Item.objects.filter(pk__in=product_ids).values_list("product_id", flat=True))
    if unknown := set(product_ids) - known:
        raise ItemNotFound(unknown)


def locked(reservation_id: UUID, owner: str, caller: Caller) -> LockedReservation:
    """Lock a reservation. One with lines outside the caller's warehouses does not exist for them."""
    found = sql.lock_reservation(reservation_id)
    if found is None or not is_within_scope(reservation_id, caller=caller):
        raise ReservationNotFound(reservation_id)
    if found.owner != owner:
        raise NotTheOwner(found.owner)
    return found


def open_parts(state: str, lines: Iterable[ClaimedLine], items: Sequence[Demand] | None) -> list[Line]:
    return parts_of(state, [Line(line.product_id, line.warehouse_id, line.open) for line in lines], items)


def parts_of(state: str, lines: Sequence[Line], items: Sequence[Demand] | None) -> list[Line]:
    """Take the units of `items` from `lines`, in their order; without items, take all units."""
    if items is None:
        return [line for line in lines if line.quantity]
    wanted = summed(items)
    parts: list[Line] = []
    left = dict(wanted)
    for line in lines:
        taken = min(left.get(line.product_id, 0), line.quantity)
        if taken:
            parts.append(line._replace(quantity=taken))
            left[line.product_id] -= taken
    missing = [
        Shortage(product_id, wanted[product_id], wanted[product_id] - rest) for product_id, rest in left.items() if rest
    ]
    if missing:
        raise ExceedsOpen(state, missing)
    return parts


def take_out(
    reservation_id: UUID,
    lines: Sequence[ClaimedLine],
    parts: Sequence[Line],
    *,
    column: Literal["fulfilled", "released"],
) -> bool:
    """Move units from open to `column`. If no unit is left open, end the reservation and return True."""
    sql_claims.add_to_lines([(reservation_id, part) for part in parts], column=column)
    ends = sum(line.open for line in lines) == sum(part.quantity for part in parts)
    if ends:
        shipped = column == "fulfilled" or any(line.fulfilled for line in lines)
        sql_claims.end_reservations([reservation_id], state=FULFILLED if shipped else RELEASED)
    return ends
