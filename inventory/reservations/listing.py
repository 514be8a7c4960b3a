"""Queries for reservations."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Count, Exists, OuterRef, Q

from inventory.reservations import models, sql
from inventory.stock.scopes import Scope, codes_in_scope, scope_of, within
from inventory.stock.vocabulary import State
from shop.toolkit.callers import Caller
from shop.toolkit.db.pages import Page, PageRequest, page_of
from shop.toolkit.refusals import Refusal


@dataclass(frozen=True)
class ReservationLine:
    """A reservation's claim on one product in one warehouse: quantity = open + fulfilled + released.

    `ready` is how many open units the stock covers after all older promises; 0 unless the reservation is confirmed.
    """

    product_id: int
    warehouse: str
    quantity: int
    open: int
    fulfilled: int
    released: int
    returned: int
    ready: int


@dataclass(frozen=True)
class Reservation:
    """The claim of `reference` on units. `state` is held, confirmed, fulfilled, released or expired.

    `expires_at` is the deadline of a held reservation; None in any other state.
    """

    id: UUID
    reference: str
    state: str
    created_at: datetime
    expires_at: datetime | None
    ended_at: datetime | None
    lines: list[ReservationLine]


class ReservationNotFound(Refusal):
    """No reservation has this id."""

    def __init__(self, reservation_id: UUID) -> None:
        super().__init__(f"There is no reservation {reservation_id}.")


def get_reservation(reservation_id: UUID, *, caller: Caller) -> Reservation:
    """Return one reservation, with its lines in the caller's warehouses.

    Raises ReservationNotFound, also for a reservation without a line there.
    """
    found = reservations([reservation_id], caller=caller)
    if not found:
        raise ReservationNotFound(reservation_id)
    return found[reservation_id]


def list_reservations(
    *, page: PageRequest, state: str | None = None, reference: str | None = None, caller: Caller
) -> Page[Reservation]:
    """Return reservations, newest first, in a constant number of statements.

    Only the caller's warehouses count. Raises InvalidCursor.
    """
    given = {"state": state, "reference": reference}
    rows = models.Reservation.objects.filter(**{name: value for name, value in given.items() if value is not None})
    rows = rows.filter(claims_within(scope_of(caller)))
    # A reservation may have changed its state since it was selected; it is returned as it is now.
    found = page_of(rows.only("id"), order=["-id"], request=page, parts=_count_lines)
    complete = reservations([row.pk for row in found.results], caller=caller)
    return found.map(lambda row: complete[row.pk])


def _count_lines(rows: Sequence[models.Reservation]) -> dict[UUID, int]:
    lines = models.ReservationLine.objects.filter(reservation_id__in=[row.pk for row in rows]).order_by()
    return dict(lines.values_list("reservation_id").annotate(count=Count("product_id")))


def reservations(reservation_ids: Collection[UUID], *, caller: Caller) -> dict[UUID, Reservation]:
    """Return reservations by id, in one statement; unknown ids are absent.

    Only the caller's warehouses count: other lines are left out, and so is a reservation without any line left.
    """
    scope = scope_of(caller)
    codes = None if scope.everywhere else codes_in_scope(scope)
    found: dict[UUID, Reservation] = {}
    for key, reference, state, created_at, expires_at, ended_at, *line in sql.read_reservations(reservation_ids):
        if codes is not None and line[1] not in codes:
            continue
        if key not in found:
            deadline = expires_at if state == State.HELD else None
            found[key] = Reservation(key, reference, state, created_at, deadline, ended_at, [])
        if line[0] is not None:
            found[key].lines.append(ReservationLine(*line))
    return found


def expired_among(reservation_ids: Collection[UUID]) -> list[UUID]:
    """Return which of these reservations have expired."""
    rows = models.Reservation.objects.filter(pk__in=reservation_ids, state=State.EXPIRED)
    return list(rows.values_list("id", flat=True))


def claims_within(scope: Scope) -> Q:
    """Return the condition that a reservation claims units in any of a scope's warehouses."""
    if scope.everywhere:
        return Q()
    return Q(Exists(models.ReservationLine.objects.filter(within(scope), reservation_id=OuterRef("pk"))))


def is_within_scope(reservation_id: UUID, *, caller: Caller) -> bool:
    """Tell whether a reservation claims units in the caller's warehouses only."""
    scope = scope_of(caller)
    lines = models.ReservationLine.objects.filter(reservation_id=reservation_id)
    return scope.everywhere or not lines.exclude(warehouse_id__in=scope.places).exists()
