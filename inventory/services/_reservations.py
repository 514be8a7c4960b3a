from collections.abc import Collection, Iterable, Sequence
from datetime import timedelta
from typing import Literal
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Count

from inventory import models, sql
from inventory.services import _metrics as metrics
from inventory.services._allocation import allocate, summed
from inventory.services._expiry import expire_overdue, given_back, is_within_scope
from inventory.services._facts import (
    Demand,
    ExceedsOpen,
    Hold,
    HoldLimitReached,
    InsufficientStock,
    InvalidTransition,
    ItemNotFound,
    LevelOutOfRange,
    NotTheOwner,
    ReferenceInUse,
    Reservation,
    ReservationLine,
    ReservationNotFound,
    Shortage,
    StockPromised,
)
from inventory.services._reading import LISTED_PROMISES, promises_of
from inventory.services._scopes import claims_within, codes_in_scope, in_scope, scope_of
from inventory.sql import Change, ClaimedLine, Line, LockedReservation
from shop.toolkit import transactions
from shop.toolkit.metrics import count_at_commit
from shop.toolkit.pages import Page, PageRequest, page_of

HELD, CONFIRMED, FULFILLED = models.State.HELD, models.State.CONFIRMED, models.State.FULFILLED
RELEASED = models.State.RELEASED


@transaction.atomic(savepoint=False)
def reserve(
    *,
    reservation_id: UUID,
    owner: str,
    reference: str,
    demand: Sequence[Demand],
    ttl: timedelta,
    actor_id: int | None,
    visible_to: int | None = None,
) -> Reservation:
    """Hold every line for `ttl`, or none, in two statements whatever the number of lines.

    Call it last in a transaction: from here to the commit the stock rows are locked. Lines of one product are summed.
    Where units are short and holds past their deadline claim some, those are expired and the whole transaction is done
    once more; so it must be one that `transactions.run` runs, else AssertionError. Raises InsufficientStock naming
    every product that is short, ItemNotFound naming every unknown one, ReferenceInUse. Only `owner` can then change the
    reservation. With `visible_to`, the units come from the warehouses of that user's scope, as if there
    were no others.
    """
    transactions.assert_repeatable("inventory.reserve")
    wanted = summed(demand)
    with metrics.LOCK_SECONDS.time():
        rows = in_scope(sql.lock_stock(wanted), scope_of(visible_to))
    plan = allocate(wanted, rows)
    if plan.shortages:
        _refuse_unknown(set(wanted) - {row.product_id for row in rows})
        _refuse(plan.shortages)
    try:
        created_at, expires_at = sql.reserve(
            reservation_id, owner=owner, reference=reference, actor_id=actor_id, ttl=ttl, lines=plan.lines
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
    actor_id: int | None,
    visible_to: int | None,
) -> Reservation:
    """Hold as `reserve` does, for a caller who has not asked the catalogue whether the products are on sale.

    Raises what `reserve` raises, and ItemNotFound naming every archived product too.
    """
    wanted = {line.product_id for line in demand}
    on_sale = models.Item.objects.filter(pk__in=wanted, is_active=True).values_list("product_id", flat=True)
    if missing := wanted - set(on_sale):
        raise ItemNotFound(missing)
    return reserve(
        reservation_id=reservation_id,
        owner=owner,
        reference=reference,
        demand=demand,
        ttl=ttl,
        actor_id=actor_id,
        visible_to=visible_to,
    )


@transaction.atomic(savepoint=False)
def extend(
    reservation_id: UUID,
    *,
    owner: str,
    ttl: timedelta | None,
    usual: timedelta,
    max_age: timedelta,
    visible_to: int | None = None,
) -> Reservation:
    """Put the deadline of a hold off to `ttl` from now; without one to `usual`, as far as `max_age` lets it.

    Raises ReservationNotFound, NotTheOwner, InvalidTransition when it is no longer held, HoldLimitReached when it would
    become older than `max_age`.
    """
    state = _locked(reservation_id, owner, visible_to).state
    if state != HELD:
        raise InvalidTransition(state)
    left = sql.time_left(reservation_id, max_age=max_age)
    if left <= timedelta(0) or (ttl is not None and ttl > left):
        raise HoldLimitReached(int(left.total_seconds()))
    sql.extend_reservation(reservation_id, ttl=usual if ttl is None else ttl, max_age=max_age)
    return get_reservation(reservation_id)


@transaction.atomic(savepoint=False)
def confirm(reservation_id: UUID, *, owner: str, actor_id: int | None, visible_to: int | None = None) -> Reservation:
    """Turn a hold into a commitment: its units are promised without a deadline.

    A hold past its deadline that nobody has ended yet is still good. Repeating it is harmless, also when its units are
    shipped by now. Raises ReservationNotFound, NotTheOwner, InvalidTransition.
    """
    state, reference, *_ = _locked(reservation_id, owner, visible_to)
    if state in (CONFIRMED, FULFILLED):
        return get_reservation(reservation_id)
    if state != HELD:
        raise InvalidTransition(state)
    # The stock rows before the state: who reserves for this reference meanwhile holds them, and waits for the state.
    lines = sql.lock_lines([reservation_id])
    sql.confirm_reservation(reservation_id)
    count_at_commit(metrics.CONFIRMED)
    sql.post_movements(
        [
            Change(line.product_id, line.warehouse_id, reserved=-line.open, committed=line.open, reference=reference)
            for line in lines
        ],
        kind=models.Kind.COMMIT,
        actor_id=actor_id,
    )
    return get_reservation(reservation_id)


@transaction.atomic(savepoint=False)
def release(
    reservation_id: UUID,
    *,
    owner: str,
    items: Sequence[Demand] | None = None,
    actor_id: int | None,
    visible_to: int | None = None,
) -> Reservation:
    """Give up units that a held or confirmed reservation claims: those of `items`, or all that are open.

    Repeating a whole release is harmless. Raises ReservationNotFound, NotTheOwner, InvalidTransition, ExceedsOpen.
    """
    state, reference, *_ = _locked(reservation_id, owner, visible_to)
    if state == RELEASED and items is None:
        return get_reservation(reservation_id)
    if state not in (HELD, CONFIRMED):
        raise InvalidTransition(state)
    lines = sql.lock_lines([reservation_id])
    parts = _open_parts(state, lines, items)
    if _take_out(reservation_id, lines, parts, column="released"):
        count_at_commit(metrics.RELEASED)
    sql.post_movements(
        [given_back(part, state, reference) for part in parts], kind=models.Kind.RELEASE, actor_id=actor_id
    )
    return get_reservation(reservation_id)


@transaction.atomic(savepoint=False)
def fulfill(
    reservation_id: UUID,
    *,
    owner: str,
    items: Sequence[Demand] | None = None,
    actor_id: int | None,
    visible_to: int | None = None,
    out_of_turn: bool = False,
) -> Reservation:
    """Ship units of a confirmed reservation from the warehouses it names: those of `items`, or all that are open.

    Goods go to the oldest promise first: what was confirmed before must stay covered, unless it is `out_of_turn`.
    Raises ReservationNotFound, NotTheOwner, InvalidTransition when there is nothing left to ship, ExceedsOpen,
    InsufficientStock where fewer units are on hand and not unavailable than would be shipped (promised on backorder and
    not arrived, or damaged since), StockPromised naming the older promises in the way.
    """
    state, reference, *_ = _locked(reservation_id, owner, visible_to)
    if state != CONFIRMED:
        raise InvalidTransition(state)
    lines = sql.lock_lines([reservation_id])
    parts = _open_parts(state, lines, items)
    _refuse_absent(lines, parts)
    if not out_of_turn:
        _refuse_out_of_turn(reservation_id, lines, parts)
    _take_out(reservation_id, lines, parts, column="fulfilled")
    sql.post_movements(
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
        kind=models.Kind.SHIP,
        reason=models.Reason.SALE,
        actor_id=actor_id,
    )
    return get_reservation(reservation_id)


@transaction.atomic(savepoint=False)
def take_back(
    reservation_id: UUID, *, owner: str, items: Sequence[Demand], resalable: bool, note: str, actor_id: int | None
) -> Reservation:
    """Put shipped units back where they came from, for sale or as unavailable; never more than were shipped.

    Raises ReservationNotFound, NotTheOwner, ExceedsOpen, LevelOutOfRange.
    """
    state, reference, *_ = _locked(reservation_id, owner)
    lines = sql.lock_lines([reservation_id])
    shipped = [Line(line.product_id, line.warehouse_id, line.fulfilled - line.returned) for line in lines]
    parts = _parts(state, shipped, items)
    on_hand = {(line.product_id, line.warehouse_id): line.on_hand for line in lines}
    if any(on_hand[part.product_id, part.warehouse_id] + part.quantity > models.MAX_LEVEL for part in parts):
        raise LevelOutOfRange(models.MAX_LEVEL)
    sql.add_to_lines([(reservation_id, part) for part in parts], column="returned")
    sql.post_movements(
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
        kind=models.Kind.RETURN,
        reason=models.Reason.RETURN,
        note=note,
        actor_id=actor_id,
    )
    return get_reservation(reservation_id)


def get_reservation(reservation_id: UUID, *, visible_to: int | None = None) -> Reservation:
    """Return one reservation; with `visible_to`, its lines in the warehouses of that user's scope.

    Raises ReservationNotFound, also for one without a line there.
    """
    found = reservations([reservation_id], visible_to=visible_to)
    if not found:
        raise ReservationNotFound(reservation_id)
    return found[reservation_id]


def list_reservations(
    *, page: PageRequest, state: str | None = None, reference: str | None = None, visible_to: int | None = None
) -> Page[Reservation]:
    """Return reservations, newest first, in a constant number of statements.

    With `visible_to`, those that claim units of the warehouses of that user's scope, and what they claim there. Raises
    InvalidCursor.
    """
    given = {"state": state, "reference": reference}
    rows = models.Reservation.objects.filter(**{name: value for name, value in given.items() if value is not None})
    rows = rows.filter(claims_within(scope_of(visible_to)))
    # By now one of them may be in another state than was asked for; it is shown as it is.
    found = page_of(rows.only("id"), order=["-id"], request=page, parts=_count_lines)
    complete = reservations([row.pk for row in found.results], visible_to=visible_to)
    return found.map(lambda row: complete[row.pk])


def _count_lines(rows: Sequence[models.Reservation]) -> dict[UUID, int]:
    lines = models.ReservationLine.objects.filter(reservation_id__in=[row.pk for row in rows]).order_by()
    return dict(lines.values_list("reservation_id").annotate(count=Count("product_id")))


def reservations(reservation_ids: Collection[UUID], *, visible_to: int | None = None) -> dict[UUID, Reservation]:
    """Return reservations by id, in one statement; unknown ids are absent.

    With `visible_to`, only their lines in the warehouses of that user's scope; those without any are absent.
    """
    codes = codes_in_scope(visible_to)
    found: dict[UUID, Reservation] = {}
    for key, reference, state, created_at, expires_at, ended_at, *line in sql.read_reservations(reservation_ids):
        if codes is not None and line[1] not in codes:
            continue
        if key not in found:
            deadline = expires_at if state == HELD else None
            found[key] = Reservation(key, reference, state, created_at, deadline, ended_at, [])
        if line[0] is not None:
            found[key].lines.append(ReservationLine(*line))
    return found


@transaction.atomic(savepoint=False)
def lock_hold(reservation_id: UUID, *, owner: str) -> Hold:
    """Return where a reservation is, which nobody else changes until the commit.

    Raises ReservationNotFound, NotTheOwner.
    """
    found = _locked(reservation_id, owner)
    return Hold(found.state, found.late_by)


def expired_among(reservation_ids: Collection[UUID]) -> list[UUID]:
    """Return which of these reservations have expired."""
    rows = models.Reservation.objects.filter(pk__in=reservation_ids, state=models.State.EXPIRED)
    return list(rows.values_list("id", flat=True))


def _refuse(shortages: Sequence[Shortage]) -> None:
    refusal = InsufficientStock(shortages)
    short = [shortage.product_id for shortage in shortages]
    if sql.overdue_units(short):
        # A reservation is locked before its stock rows, everywhere; we hold stock rows. So all is undone, the overdue
        # holds are ended in that order, and the buyer tries again.
        raise transactions.Repeat(first=lambda: expire_overdue(short), refusal=refusal)
    metrics.count_shortages(shortages)
    raise refusal


def _refuse_unknown(product_ids: Collection[int]) -> None:
    """Tell products that are out of stock, and have no stock row, from those that were never there."""
    if not product_ids:
        return
    known = set(models.Item.objects.filter(pk__in=product_ids).values_list("product_id", flat=True))
    if unknown := set(product_ids) - known:
        raise ItemNotFound(unknown)


def _locked(reservation_id: UUID, owner: str, visible_to: int | None = None) -> LockedReservation:
    """Lock a reservation; one that reaches out of the scope of `visible_to` does not exist."""
    found = sql.lock_reservation(reservation_id)
    if found is None or not is_within_scope(reservation_id, user_id=visible_to):
        raise ReservationNotFound(reservation_id)
    if found.owner != owner:
        raise NotTheOwner(found.owner)
    return found


def _open_parts(state: str, lines: Iterable[ClaimedLine], items: Sequence[Demand] | None) -> list[Line]:
    return _parts(state, [Line(line.product_id, line.warehouse_id, line.open) for line in lines], items)


def _parts(state: str, lines: Sequence[Line], items: Sequence[Demand] | None) -> list[Line]:
    """Take the units of `items` out of `lines`, in their order; all of them when no items are named."""
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


def _refuse_absent(lines: Sequence[ClaimedLine], parts: Sequence[Line]) -> None:
    """Refuse to ship what is not there, or is there and not for sale, whatever was promised."""
    sellable = {line.key: line.sellable for line in lines}
    short = [
        Shortage(part.product_id, part.quantity, sellable[part.key])
        for part in parts
        if part.quantity > sellable[part.key]
    ]
    if short:
        raise InsufficientStock(short)


def _refuse_out_of_turn(reservation_id: UUID, lines: Sequence[ClaimedLine], parts: Sequence[Line]) -> None:
    """Refuse to ship units that an older promise waits for, where not all that is promised is there."""
    rows = {line.key: line for line in lines}
    scarce = [part for part in parts if rows[part.key].committed > rows[part.key].sellable]
    if not scarce:
        return
    older = sql.older_units(reservation_id, [part.key for part in scarce])
    early = [part for part in scarce if part.quantity > rows[part.key].sellable - older.get(part.key, 0)]
    if not early:
        return
    there, promised = rows[early[0].key].sellable, older.get(early[0].key, 0)
    sku = models.Item.objects.get(pk=early[0].product_id).sku
    waiting = sql.older_promises(reservation_id, [part.key for part in early], limit=LISTED_PROMISES)
    raise StockPromised(
        promises_of(waiting),
        f"{there:,} units of {sku} are there; {promised:,} were promised to others before. Ship those first.",
    )


def _take_out(
    reservation_id: UUID,
    lines: Sequence[ClaimedLine],
    parts: Sequence[Line],
    *,
    column: Literal["fulfilled", "released"],
) -> bool:
    """Move units from open to `column`; end the reservation when none is left open, and tell whether that is so."""
    sql.add_to_lines([(reservation_id, part) for part in parts], column=column)
    ends = sum(line.open for line in lines) == sum(part.quantity for part in parts)
    if ends:
        shipped = column == "fulfilled" or any(line.fulfilled for line in lines)
        sql.end_reservations([reservation_id], state=FULFILLED if shipped else RELEASED)
    return ends
