"""In which warehouses somebody works, for the other services of this app.

What is outside of it does not exist for them, neither to see nor to change, whichever way they come. Orders and
reservations are the whole shop's.
"""

from collections.abc import Collection

from django.db.models import Q

from inventory import models

Scope = Collection[int] | None


def scope_of(user_id: int | None) -> Scope:
    """Return the ids of the warehouses that somebody works in; None when these are all, as for nobody in particular."""
    if user_id is None:
        return None
    scoped = models.WarehouseScope.objects.filter(user_id=user_id)
    return list(scoped.order_by("warehouse_id").values_list("warehouse_id", flat=True)) or None


def within(scope: Scope, field: str = "warehouse_id") -> Q:
    """Return the condition that rows are of a scope's warehouses."""
    return Q() if scope is None else Q(**{f"{field}__in": scope})
