"""Holds end: when their deadline has passed, or before it when staff say so."""

from collections.abc import Collection
from uuid import UUID

from django.db import transaction

from inventory import models, sql
from inventory.services import _metrics as metrics
from inventory.services._facts import InvalidTransition, ReservationNotFound
from inventory.services._scopes import scope_of
from inventory.sql import Change, Line
from shop.toolkit.metrics import count_at_commit


@transaction.atomic(savepoint=False)
def expire_due(*, limit: int) -> int:
    """End up to `limit` holds past their deadline, by the database's clock; return how many.

    Any number of these may run at once: each hold is expired by one of them.
    """
    due = sql.lock_due(limit)
    expire(due)
    return len(due)


def expire_overdue(product_ids: Collection[int]) -> None:
    """End every hold past its deadline on these products, for a reserve that has fallen short."""
    expire(sql.lock_overdue(product_ids))


def expire_overdue_before(product_ids: Collection[int]) -> None:
    """End every hold past its deadline on these products, before somebody takes units off their stock rows.

    Where there are such holds, the products' rows and all others that the holds claim are locked together: what the
    caller locks next is locked already, and in key order.
    """
    overdue = sql.lock_overdue(product_ids)
    if not overdue:
        return
    rows = models.Stock.objects.filter(product_id__in=product_ids).values_list("product_id", "warehouse_id")
    sql.lock_levels({*rows, *sql.claimed_rows(overdue)})
    expire(overdue)


@transaction.atomic(savepoint=False)
def end_hold(reservation_id: UUID, *, reason: str, actor_id: int) -> None:
    """End a hold before its deadline, whoever owns it: its units are free at once, and its owner finds it expired.

    `reason` stands in the ledger, with the actor. Raises ReservationNotFound, also for one with lines outside the
    actor's scope, and InvalidTransition when it is no longer held.
    """
    found = sql.lock_reservation(reservation_id)
    if found is None or not is_within_scope(reservation_id, user_id=actor_id):
        raise ReservationNotFound(reservation_id)
    if found.state != models.State.HELD:
        raise InvalidTransition(found.state)
    expire({reservation_id: found.reference}, note=reason, actor_id=actor_id)


def is_within_scope(reservation_id: UUID, *, user_id: int | None) -> bool:
    """Tell whether a reservation claims units of a user's warehouses alone."""
    scope = scope_of(user_id)
    lines = models.ReservationLine.objects.filter(reservation_id=reservation_id)
    return scope is None or not lines.exclude(warehouse_id__in=scope).exists()


def expire(references: dict[UUID, str], *, note: str = "", actor_id: int | None = None) -> None:
    """Expire holds that the caller has locked: their references by id."""
    if not references:
        return
    parts = [
        (line.reservation_id, Line(line.product_id, line.warehouse_id, line.open))
        for line in sql.lock_lines(references)
        if line.open
    ]
    sql.add_to_lines(parts, column="released")
    sql.end_reservations(references, state=models.State.EXPIRED)
    count_at_commit(metrics.EXPIRED, len(references))
    sql.post_movements(
        [given_back(part, models.State.HELD, references[reservation_id]) for reservation_id, part in parts],
        kind=models.Kind.EXPIRE,
        note=note,
        actor_id=actor_id,
    )


def given_back(part: Line, state: str, reference: str) -> Change:
    """Return what it does to a stock row that a reservation in `state` gives up units of it."""
    if state == models.State.HELD:
        return Change(part.product_id, part.warehouse_id, reserved=-part.quantity, reference=reference)
    return Change(part.product_id, part.warehouse_id, committed=-part.quantity, reference=reference)
