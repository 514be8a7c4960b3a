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
    """A place that holds stock. Orders are served from the lowest `priority` first."""

    id: int
    code: str
    name: str
    priority: int
    is_active: bool


class WarehouseNotFound(Refusal):
    """No warehouse has these codes."""

    def __init__(self, codes: Collection[str]) -> None:
        self.codes = sorted(codes)
        super().__init__(f"There is no warehouse {' or '.join(self.codes)}.")


class WarehouseExists(Refusal):
    """Another warehouse has this code."""

    def __init__(self, code: str) -> None:
        super().__init__(f"A warehouse with the code {code} already exists. Choose another code.")


class WarehouseInUse(Refusal):
    """Stock history, counts or people refer to the warehouse; `why` says which, as a clause."""

    def __init__(self, code: str, why: str) -> None:
        super().__init__(f"Warehouse {code} cannot be deleted: {why}. Make it inactive instead.")


class ScopeNotYours(Refusal):
    """The caller works in some warehouses only, or would change their own assignment."""

    def __init__(
        self,
        said: str = "You cannot change your own warehouse assignment. Ask someone with access to all warehouses.",
    ) -> None:
        super().__init__(said)


LIMITED = "You are assigned to some warehouses only."


class StaleScope(Refusal):
    """Someone else changed the assignment meanwhile; `current` has its warehouse codes, none for all."""

    def __init__(self, *, current: Sequence[str], expected: Sequence[str]) -> None:
        self.current = list(current)
        now, then = (", ".join(codes) or "all warehouses" for codes in (current, expected))
        super().__init__(f"Someone else changed this assignment from {then} to {now}. Nothing was saved.")


def list_warehouses(*, page: PageRequest, caller: Caller) -> Page[Warehouse]:
    """Return warehouses by priority. Only the caller's warehouses count. Raises InvalidCursor."""
    rows = models.Warehouse.objects.filter(within(scope_of(caller), "id"))
    return page_of(rows, order=["priority", "id"], request=page).map(_warehouse)


def get_warehouse(code: str, *, caller: Caller) -> Warehouse:
    """Return one warehouse. Only the caller's warehouses count. Raises WarehouseNotFound."""
    return _warehouse(_row(code, caller))


@transaction.atomic(savepoint=False)
def create_warehouse(*, code: str, name: str, priority: int, is_active: bool, caller: Caller) -> Warehouse:
    """Create a warehouse without stock.

    Raises WarehouseExists, ScopeNotYours for a caller who works in some warehouses only.
    """
    if not scope_of(caller).everywhere:
        raise ScopeNotYours(f"{LIMITED} Ask someone with access to all warehouses to create one.")
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
    """Change the fields that are not None. The code stays: files and people refer to it.

    An inactive warehouse serves no new reservation, and still ships what it has promised. Raises WarehouseNotFound.
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
    """Delete a warehouse that never had stock, with its empty stock rows.

    Raises WarehouseNotFound; WarehouseInUse if it ever had stock, has counts, or is assigned to people.
    """
    row = models.Warehouse.objects.select_for_update().get(pk=_row(code, caller).pk)
    # Locked: with a backorder limit, another transaction may be reserving units of an empty row.
    rows = models.Stock.objects.filter(warehouse=row)
    held = any(rows.select_for_update().order_by("product_id").values_list("seq", flat=True))
    if held:
        raise WarehouseInUse(code, "it has a stock history")
    rows.delete()
    try:
        row.delete()
    except ProtectedError as error:
        has_people = any(isinstance(found, models.WarehouseScope) for found in error.protected_objects)
        why = "people are assigned to it" if has_people else "it has counts"
        raise WarehouseInUse(code, why) from error


def scope_codes(user_id: int) -> list[str]:
    """Return the codes of the warehouses assigned to a user, by priority; empty for access to all."""
    rows = models.WarehouseScope.objects.filter(user_id=user_id).order_by("warehouse__priority", "warehouse_id")
    return list(rows.values_list("warehouse__code", flat=True))


@transaction.atomic(savepoint=False)
def set_scope(
    user_id: int, *, warehouses: Collection[str], expected: Collection[str] | None = None, caller: Caller
) -> None:
    """Assign a user to these warehouses, by code; without any, give access to all.

    With `expected`, refuse if the current assignment is another. Raises WarehouseNotFound, ScopeNotYours, StaleScope.
    """
    if user_id == caller.actor_id:
        raise ScopeNotYours
    if not scope_of(caller).everywhere:
        raise ScopeNotYours(f"{LIMITED} Ask someone with access to all warehouses to change assignments.")
    # Concurrent changes take turns by locking the user: the rows that they change may not exist yet.
    get_user_model().objects.select_for_update(no_key=True).filter(pk=user_id).first()
    current = scope_codes(user_id)
    if expected is not None and set(expected) != set(current):
        raise StaleScope(current=current, expected=sorted(expected))
    ids = locked_warehouse_ids(warehouses, caller=caller)
    scopes = models.WarehouseScope.objects.filter(user_id=user_id)
    scopes.exclude(warehouse_id__in=ids.values()).delete()
    models.WarehouseScope.objects.bulk_create(
        [models.WarehouseScope(user_id=user_id, warehouse_id=warehouse_id) for warehouse_id in ids.values()],
        ignore_conflicts=True,
    )


def locked_warehouse_ids(codes: Collection[str], *, caller: Caller) -> dict[str, int]:
    """Return the id of each code, and lock the warehouses against deletion until the commit.

    Only the caller's warehouses count. Raises WarehouseNotFound naming every unknown code.
    """
    found = sql.lock_warehouses(codes, user_id=scoped_user(caller))
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
