from collections.abc import Collection, Sequence
from datetime import timedelta
from uuid import UUID

from django.db import transaction

from inventory import models, sql
from inventory.services._allocation import allocate, summed
from inventory.services._facts import (
    Allocation,
    Demand,
    InsufficientStock,
    InvalidTransition,
    ItemNotFound,
    Reservation,
    ReservationNotFound,
)
from inventory.sql import Change, Line

HELD, CONFIRMED, RELEASED = models.State.HELD, models.State.CONFIRMED, models.State.RELEASED


@transaction.atomic(savepoint=False)
def reserve(
    *, reservation_id: UUID, reference: str, demand: Sequence[Demand], ttl: timedelta, actor_id: int | None
) -> Reservation:
    """Hold every line for `ttl`, or none, in three statements whatever the number of lines.

    Call it last in a transaction: from here to the commit the stock rows are locked. Lines of one product are summed.
    Raises InsufficientStock naming every product that is short, ItemNotFound naming every unknown one.
    """
    wanted = summed(demand)
    rows = sql.lock_stock(wanted)
    plan = allocate(wanted, rows)
    if plan.shortages:
        _refuse_unknown(wanted)
        raise InsufficientStock(plan.shortages)
    created_at, expires_at = sql.open_reservation(
        reservation_id, reference=reference, actor_id=actor_id, ttl=ttl, lines=plan.lines
    )
    changes = [Change(line.product_id, line.warehouse_id, reserved_delta=line.quantity) for line in plan.lines]
    _post(changes, kind=models.Kind.RESERVE, reference=reference, actor_id=actor_id)
    codes = {row.warehouse_id: row.warehouse for row in rows}
    allocations = [Allocation(line.product_id, codes[line.warehouse_id], line.quantity) for line in plan.lines]
    return Reservation(reservation_id, reference, HELD.value, created_at, expires_at, allocations)


@transaction.atomic(savepoint=False)
def confirm(reservation_id: UUID, *, actor_id: int | None) -> None:
    """Turn a hold into a commitment: its units are promised without a deadline.

    A hold past its deadline that nobody has ended yet is still good. Repeating it is harmless. Raises
    ReservationNotFound, InvalidTransition.
    """
    state, reference = _locked(reservation_id)
    if state == CONFIRMED:
        return
    if state != HELD:
        raise InvalidTransition(state)
    sql.confirm_reservation(reservation_id)
    changes = [
        Change(line.product_id, line.warehouse_id, reserved_delta=-line.quantity, committed_delta=line.quantity)
        for line in sql.lock_open_lines(reservation_id)
    ]
    _post(changes, kind=models.Kind.COMMIT, reference=reference, actor_id=actor_id)


@transaction.atomic(savepoint=False)
def release(reservation_id: UUID, *, actor_id: int | None) -> None:
    """Give up all units that a held or confirmed reservation still claims. Repeating it is harmless.

    Raises ReservationNotFound, InvalidTransition.
    """
    state, reference = _locked(reservation_id)
    if state == RELEASED:
        return
    if state not in (HELD, CONFIRMED):
        raise InvalidTransition(state)
    lines = sql.lock_open_lines(reservation_id)
    sql.release_reservation(reservation_id)
    _post(
        [_given_back(line, state) for line in lines], kind=models.Kind.RELEASE, reference=reference, actor_id=actor_id
    )


def reservations(reservation_ids: Collection[UUID]) -> dict[UUID, Reservation]:
    """Return reservations by id, in two statements; unknown ids are absent."""
    rows = models.Reservation.objects.filter(pk__in=reservation_ids).prefetch_related("lines")
    codes = dict(models.Warehouse.objects.values_list("id", "code"))
    return {row.pk: _reservation(row, codes) for row in rows}


def _given_back(line: Line, state: str) -> Change:
    if state == HELD:
        return Change(line.product_id, line.warehouse_id, reserved_delta=-line.quantity)
    return Change(line.product_id, line.warehouse_id, committed_delta=-line.quantity)


def _locked(reservation_id: UUID) -> tuple[str, str]:
    found = sql.lock_reservation(reservation_id)
    if found is None:
        raise ReservationNotFound(reservation_id)
    return found


def _refuse_unknown(product_ids: Collection[int]) -> None:
    """Tell a product that is out of stock from one that was never there; asked only on the way to a refusal."""
    known = set(models.Item.objects.filter(pk__in=product_ids).values_list("product_id", flat=True))
    if unknown := set(product_ids) - known:
        raise ItemNotFound(unknown)


def _post(changes: Sequence[Change], *, kind: models.Kind, reference: str, actor_id: int | None) -> None:
    sql.post_movements(changes, kind=kind, reason=models.Reason.NONE, reference=reference, actor_id=actor_id, note="")


def _reservation(row: models.Reservation, codes: dict[int, str]) -> Reservation:
    lines = sorted(row.lines.all(), key=lambda line: (line.product_id, line.warehouse_id))
    return Reservation(
        id=row.pk,
        reference=row.reference,
        state=row.state,
        created_at=row.created_at,
        expires_at=row.expires_at,
        allocations=[Allocation(line.product_id, codes[line.warehouse_id], line.quantity) for line in lines],
    )
