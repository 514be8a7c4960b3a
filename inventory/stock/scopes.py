"""The warehouses that a caller works in.

Outside the caller's warehouses nothing exists for them, neither to read nor to change, in the API, the admin and files
alike. Docstrings say "only the caller's warehouses count". Orders belong to the whole shop and have no scope.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Q

from inventory.stock import models
from inventory.stock.levels import StockRow
from shop.toolkit.callers import Caller, System


@dataclass(frozen=True)
class Scope:
    """The warehouses that a caller works in, by id. `everywhere` means all; `places` is empty then."""

    everywhere: bool
    places: tuple[int, ...] = ()


EVERYWHERE = Scope(everywhere=True)


def scope_of(caller: Caller) -> Scope:
    """Return the warehouses that a caller works in: all, unless some are assigned to their account."""
    user_id = scoped_user(caller)
    if user_id is None:
        return EVERYWHERE
    scoped = models.WarehouseScope.objects.filter(user_id=user_id)
    places = tuple(scoped.order_by("warehouse_id").values_list("warehouse_id", flat=True))
    return Scope(everywhere=False, places=places) if places else EVERYWHERE


def scoped_user(caller: Caller) -> int | None:
    """Return the id of the user whose assignment counts; None for the shop itself, which works everywhere."""
    return None if isinstance(caller, System) else caller.id


def codes_in_scope(scope: Scope) -> set[str]:
    """Return the codes of the warehouses in a scope."""
    return set(models.Warehouse.objects.filter(within(scope, "id")).values_list("code", flat=True))


def in_scope(rows: Sequence[StockRow], scope: Scope) -> list[StockRow]:
    """Return the stock rows of a scope's warehouses."""
    return [row for row in rows if scope.everywhere or row.warehouse_id in scope.places]


def within(scope: Scope, field: str = "warehouse_id") -> Q:
    """Return the condition that rows are of a scope's warehouses."""
    return Q() if scope.everywhere else Q(**{f"{field}__in": scope.places})
