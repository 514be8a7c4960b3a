"""In which warehouses somebody works, for the other services of this app.

What is outside of it does not exist for them, neither to see nor to change, whichever way they come. Orders are the
whole shop's.
"""

from collections.abc import Collection, Sequence

from django.db.models import Q

from inventory.stock import models
from inventory.stock.levels import StockRow

Scope = Collection[int] | None


def scope_of(user_id: int | None) -> Scope:
    """Return the ids of the warehouses that somebody works in; None when these are all, as for nobody in particular."""
    if user_id is None:
        return None
    scoped = models.WarehouseScope.objects.filter(user_id=user_id)
    return list(scoped.order_by("warehouse_id").values_list("warehouse_id", flat=True)) or None


def codes_in_scope(user_id: int | None) -> set[str] | None:
    """Return the codes of the warehouses that somebody works in; None when these are all."""
    scope = scope_of(user_id)
    if scope is None:
        return None
    return set(models.Warehouse.objects.filter(pk__in=scope).values_list("code", flat=True))


def in_scope(rows: Sequence[StockRow], scope: Scope) -> list[StockRow]:
    """Return the stock rows of a scope's warehouses."""
    return [row for row in rows if scope is None or row.warehouse_id in scope]


def within(scope: Scope, field: str = "warehouse_id") -> Q:
    """Return the condition that rows are of a scope's warehouses."""
    return Q() if scope is None else Q(**{f"{field}__in": scope})
