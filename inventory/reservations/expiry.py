"""The end of holds: at their deadline, or earlier when staff release them."""

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
    """Expire up to `limit` overdue holds, by the database's clock; return how many.

    Any number of these may run at once: each hold is expired by one of them.
    """
    due = sql.lock_due(limit)
    expire(due, caller=SYSTEM)
    return len(due)


@transaction.atomic(savepoint=False)
def end_hold(reservation_id: UUID, *, reason: str, caller: Caller) -> None:
    """Expire a hold before its deadline, whoever owns it. Its units are free at once.

    The ledger records `reason` and the caller. Raises ReservationNotFound, also for a hold with lines outside the
    caller's warehouses, and InvalidTransition when it is no longer held.
    """
    found = sql.lock_reservation(reservation_id)
    if found is None or not is_within_scope(reservation_id, caller=caller):
        raise ReservationNotFound(reservation_id)
    if found.state != State.HELD:
        raise InvalidTransition(found.state)
    expire({reservation_id: found.reference}, note=reason, caller=caller)
