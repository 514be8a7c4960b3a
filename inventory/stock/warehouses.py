"""Warehouses, and who works in which of them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from django.contrib.auth import get_user_model
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError

from inventory.stock import models, sql
from inventory.stock.scopes import scope_of, scoped_user, within
from shop.toolkit.callers import Caller
from shop.toolkit.db import transactions
from shop.toolkit.db.pages import Page, PageRequest, page_of
from shop.toolkit.refusals import Refusal


@dataclass(frozen=True)
class Warehouse:
    """A place that holds stock; a lower `priority` is served from first."""

    id: int
    code: str
    name: str
    priority: int
    is_active: bool


class WarehouseNotFound(Refusal):
    """No warehouse has these codes."""

    def __init__(self, codes: Collection[str]) -> None:
        self.codes = sorted(codes)
        super().__init__(f"There is no warehouse {', '.join(self.codes)}.")


class WarehouseExists(Refusal):
    """Another warehouse has this code."""

    def __init__(self, code: str) -> None:
        super().__init__(f"There is a warehouse {code} already.")


class WarehouseInUse(Refusal):
    """Stock or its history refers to the warehouse."""

    def __init__(self, code: str) -> None:
        super().__init__(f"The warehouse {code} has stock, a history or people of its own; make it inactive instead.")


class ScopeNotYours(Refusal):
    """The actor works in some warehouses only, or would change their own assignment."""

    def __init__(
        self,
        said: str = "You cannot change your own warehouse assignment. Ask someone with access to all warehouses.",
    ) -> None:
        super().__init__(said)


class StaleScope(Refusal):
    """Somebody else changed where a member works; `current` has the codes of their warehouses, none for all."""

    def __init__(self, *, current: Sequence[str], expected: Sequence[str]) -> None:
        self.current = list(current)
        now, then = (", ".join(codes) or "all warehouses" for codes in (current, expected))
        super().__init__(f"Somebody else changed this meanwhile: it is {now} now, and was {then}. Nothing was saved.")


def list_warehouses(*, page: PageRequest, caller: Caller) -> Page[Warehouse]:
    """Return warehouses in the order in which allocation prefers them; with `visible_to`, those of that user's scope.

    Raises InvalidCursor.
    """
    rows = models.Warehouse.objects.filter(within(scope_of(caller), "id"))
    return page_of(rows, order=["priority", "id"], request=page).map(_warehouse)


def get_warehouse(code: str, *, caller: Caller) -> Warehouse:
    """Return one warehouse; with `visible_to`, one of that user's scope. Raises WarehouseNotFound."""
    return _warehouse(_row(code, caller))


@transaction.atomic(savepoint=False)
def create_warehouse(*, code: str, name: str, priority: int, is_active: bool, caller: Caller) -> Warehouse:
    """Create a warehouse without stock. Raises WarehouseExists, ScopeNotYours for an actor who works in some only."""
    if not scope_of(caller).everywhere:
        raise ScopeNotYours("You work in some warehouses only. Ask someone who works in all to create one.")
    row = models.Warehouse(code=code, name=name, priority=priority, is_active=is_active)
    try:
        row.save(force_insert=True)
    except IntegrityError as error:
        if transactions.sqlstate(error) == transactions.UNIQUE_VIOLATION:
            raise WarehouseExists(code) from error
        raise
    return _warehouse(row)


@transaction.atomic(savepoint=False)
def update_warehouse(
    code: str,
    *,
    name: str | None = None,
    priority: int | None = None,
    is_active: bool | None = None,
    caller: Caller,
) -> Warehouse:
    """Change what is given, keep what is None. The code stays: files and people refer to it.

    An inactive warehouse serves no new reservation; what it has promised it still ships. Raises WarehouseNotFound.
    """
    given = {"name": name, "priority": priority, "is_active": is_active}
    changes = {field: value for field, value in given.items() if value is not None}
    row = _row(code, caller)
    if changes:
        models.Warehouse.objects.filter(pk=row.pk).update(**changes)
        row.refresh_from_db()
    return _warehouse(row)


@transaction.atomic(savepoint=False)
def delete_warehouse(code: str, *, caller: Caller) -> None:
    """Delete a warehouse that never held anything, with its empty stock rows.

    Raises WarehouseNotFound, WarehouseInUse when there is or was stock, a count, or somebody who works there only.
    """
    row = models.Warehouse.objects.select_for_update().get(pk=_row(code, caller).pk)
    # Locked: with a backorder limit, an empty row may be reserved at this moment.
    rows = models.Stock.objects.filter(warehouse=row)
    held = any(rows.select_for_update().order_by("product_id").values_list("seq", flat=True))
    if held:
        raise WarehouseInUse(code)
    rows.delete()
    try:
        row.delete()
    except ProtectedError as error:  # by counts, or by those who work there
        raise WarehouseInUse(code) from error


def scope_codes(user_id: int) -> list[str]:
    """Return the codes of the warehouses that a member of staff is limited to, by priority; none when to none."""
    rows = models.WarehouseScope.objects.filter(user_id=user_id).order_by("warehouse__priority", "warehouse_id")
    return list(rows.values_list("warehouse__code", flat=True))


@transaction.atomic(savepoint=False)
def set_scope(
    user_id: int, *, warehouses: Collection[str], expected: Collection[str] | None = None, caller: Caller
) -> None:
    """Have a member of staff work in these warehouses alone, by their codes; in all when none are named.

    With `expected`, only if they work in those now. Raises WarehouseNotFound, ScopeNotYours, StaleScope.
    """
    if user_id == caller.actor_id or not scope_of(caller).everywhere:
        raise ScopeNotYours
    # Two who say it at once take turns; the rows that they change may not be there yet.
    get_user_model().objects.select_for_update(no_key=True).filter(pk=user_id).first()
    current = scope_codes(user_id)
    if expected is not None and set(expected) != set(current):
        raise StaleScope(current=current, expected=sorted(expected))
    ids = warehouse_ids(warehouses, caller=caller)
    scopes = models.WarehouseScope.objects.filter(user_id=user_id)
    scopes.exclude(warehouse_id__in=ids.values()).delete()
    models.WarehouseScope.objects.bulk_create(
        [models.WarehouseScope(user_id=user_id, warehouse_id=warehouse_id) for warehouse_id in ids.values()],
        ignore_conflicts=True,
    )


def warehouse_ids(codes: Collection[str], *, caller: Caller) -> dict[str, int]:
    """Return the id of each code, and keep all of them from being deleted until the commit.

    For the other services of this app. Raises WarehouseNotFound naming all unknown, and those outside the actor's
    scope.
    """
    found = sql.share_warehouses(codes, user_id=scoped_user(caller))
    if unknown := set(codes) - set(found):
        raise WarehouseNotFound(unknown)
    return found


def _row(code: str, caller: Caller) -> models.Warehouse:
    row = models.Warehouse.objects.filter(within(scope_of(caller), "id"), code=code).first()
    if row is None:
        raise WarehouseNotFound([code])
    return row


def _warehouse(row: models.Warehouse) -> Warehouse:
    return Warehouse(row.pk, row.code, row.name, row.priority, row.is_active)
