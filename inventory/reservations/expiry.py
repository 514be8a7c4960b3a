"""Holds end: when their deadline has passed, or before it when staff say so."""

from uuid import UUID

from django.db import transaction

from inventory.reservations import sql
from inventory.reservations.holds import InvalidTransition
from inventory.reservations.listing import ReservationNotFound, is_within_scope
from inventory.stock.claims import expire
from inventory.stock.vocabulary import State
from shop.toolkit.callers import SYSTEM, Caller


@transaction.atomic(savepoint=False)
def expire_due(*, limit: int) -> int:
    """End up to `limit` holds past their deadline, by the database's clock; return how many.

    Any number of these may run at once: each hold is expired by one of them.
    """
    due = sql.lock_due(limit)
    expire(due, caller=SYSTEM)
    return len(due)


@transaction.atomic(savepoint=False)
def end_hold(reservation_id: UUID, *, reason: str, caller: Caller) -> None:
    """End a hold before its deadline, whoever owns it: its units are free at once, and its owner finds it expired.

    `reason` stands in the ledger, with the actor. Raises ReservationNotFound, also for one with lines outside the
    actor's scope, and InvalidTransition when it is no longer held.
    """
    found = sql.lock_reservation(reservation_id)
    if found is None or not is_within_scope(reservation_id, caller=caller):
        raise ReservationNotFound(reservation_id)
    if found.state != State.HELD:
        raise InvalidTransition(found.state)
    expire({reservation_id: found.reference}, note=reason, caller=caller)
