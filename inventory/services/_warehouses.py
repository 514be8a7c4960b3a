from collections.abc import Collection

from django.db import IntegrityError, transaction

from inventory import models, sql
from inventory.services._facts import Warehouse, WarehouseExists, WarehouseInUse, WarehouseNotFound
from shop.toolkit import transactions
from shop.toolkit.pages import Page, PageRequest, page_of


def list_warehouses(*, page: PageRequest) -> Page[Warehouse]:
    """Return warehouses in the order in which allocation prefers them. Raises InvalidCursor."""
    return page_of(models.Warehouse.objects.all(), order=["priority", "id"], request=page).map(_warehouse)


def get_warehouse(code: str) -> Warehouse:
    """Return one warehouse. Raises WarehouseNotFound."""
    return _warehouse(_row(code))


@transaction.atomic(savepoint=False)
def create_warehouse(*, code: str, name: str, priority: int, is_active: bool) -> Warehouse:
    """Create a warehouse without stock. Raises WarehouseExists."""
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
    code: str, *, name: str | None = None, priority: int | None = None, is_active: bool | None = None
) -> Warehouse:
    """Change what is given, keep what is None. The code stays: files and people refer to it.

    An inactive warehouse serves no new reservation; what it has promised it still ships. Raises WarehouseNotFound.
    """
    given = {"name": name, "priority": priority, "is_active": is_active}
    changes = {field: value for field, value in given.items() if value is not None}
    row = _row(code)
    if changes:
        models.Warehouse.objects.filter(pk=row.pk).update(**changes)
        row.refresh_from_db()
    return _warehouse(row)


@transaction.atomic(savepoint=False)
def delete_warehouse(code: str) -> None:
    """Delete a warehouse that nothing refers to. Raises WarehouseNotFound, WarehouseInUse."""
    row = models.Warehouse.objects.select_for_update().filter(code=code).first()
    if row is None:
        raise WarehouseNotFound([code])
    if models.Stock.objects.filter(warehouse=row).exists() or models.Count.objects.filter(warehouse=row).exists():
        raise WarehouseInUse(code)
    row.delete()


def warehouse_ids(codes: Collection[str]) -> dict[str, int]:
    """Return the id of each code, and keep all of them from being deleted until the commit.

    For the other services of this app. Raises WarehouseNotFound naming all unknown.
    """
    found = sql.share_warehouses(codes)
    if unknown := set(codes) - set(found):
        raise WarehouseNotFound(unknown)
    return found


def _row(code: str) -> models.Warehouse:
    row = models.Warehouse.objects.filter(code=code).first()
    if row is None:
        raise WarehouseNotFound([code])
    return row


def _warehouse(row: models.Warehouse) -> Warehouse:
    return Warehouse(row.pk, row.code, row.name, row.priority, row.is_active)
