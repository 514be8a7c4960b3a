"""The quantities of a stock row, and the only place that computes what is sellable, free, available and low.

A rule over quantities is one function. It takes numbers, Django's F() or columns of a statement: they subtract alike.
"""

from typing import Any, NamedTuple

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Greatest

Key = tuple[int, int]  # of a stock row: product and warehouse
QUANTITIES = ("on_hand", "unavailable", "safety_stock", "reserved", "committed")


def sellable(on_hand: Any, unavailable: Any) -> Any:
    """Return the units that are in the warehouse and not set aside."""
    return on_hand - unavailable


def unclaimed(on_hand: Any, unavailable: Any, safety_stock: Any, reserved: Any, committed: Any) -> Any:
    """Return the sellable units above the safety stock that nobody has a claim on; negative on backorder."""
    return sellable(on_hand, unavailable) - safety_stock - reserved - committed


def available(on_hand: int, unavailable: int, safety_stock: int, reserved: int, committed: int) -> int:
    """Return the units that may be sold."""
    units: int = unclaimed(on_hand, unavailable, safety_stock, reserved, committed)
    return max(0, units)


def is_low(reorder_point: int | None, available: int, *, is_sold: bool) -> bool:
    """Tell whether a stock row is low. One without a reorder point never is, nor one that nothing is sold from."""
    return is_sold and reorder_point is not None and available <= reorder_point


class StockRow(NamedTuple):
    """A stock row of an active warehouse, as one statement saw it."""

    product_id: int
    warehouse_id: int
    warehouse: str
    priority: int
    on_hand: int
    reserved: int
    committed: int
    unavailable: int
    safety_stock: int
    backorder_limit: int

    @property
    def available_to_promise(self) -> int:
        """Units that a new reservation may claim; check, preview and reserve share it."""
        units: int = unclaimed(self.on_hand, self.unavailable, self.safety_stock, self.reserved, self.committed)
        return max(0, units + self.backorder_limit)


class Levels(NamedTuple):
    """What a staff operation must know of a stock row, whatever its warehouse's state."""

    on_hand: int
    promised: int
    unavailable: int
    backorder_limit: int
    seq: int

    @property
    def sellable(self) -> int:
        """Units that are there and not set aside."""
        units: int = sellable(self.on_hand, self.unavailable)
        return units

    @property
    def free(self) -> int:
        """Sellable units that nobody is promised: they may leave or be set aside, safety stock included.

        The backorder limit is no part of it: it widens what may be promised, not what is there.
        """
        return max(0, self.sellable - self.promised)


# The same for queries. AVAILABLE is over stock rows; IS_LOW takes it as `free`.
AVAILABLE = Greatest(unclaimed(*map(F, QUANTITIES)), 0, output_field=models.IntegerField())
IS_LOW = Q(
    reorder_point__isnull=False, free__lte=F("reorder_point"), warehouse__is_active=True, product__is_active=True
)
# Which stock rows people see.
IS_SHOWN = ~Q(is_listed=False, on_hand=0, reserved=0, committed=0, unavailable=0)


class _Column(str):
    """A column in the text of a statement."""

    def __sub__(self, other: "_Column") -> "_Column":
        return _Column(f"{self} - {other}")


def sellable_sql(row: str) -> str:
    """Return `sellable` as SQL over the columns of `row`, an alias."""
    return str(sellable(_Column(f"{row}.on_hand"), _Column(f"{row}.unavailable")))


def free_sql(row: str) -> str:
    """Return `Levels.free` as SQL over the columns of `row`, an alias."""
    return f"GREATEST(0, {_Column(sellable_sql(row)) - _Column(f'{row}.promised')})"


def available_sql(row: str) -> str:
    """Return `available` as SQL over the columns of `row`, an alias."""
    return f"GREATEST(0, {unclaimed(*(_Column(f'{row}.{name}') for name in QUANTITIES))})"


def is_low_sql(available: str, row: str) -> str:
    """Return whether `row`, an alias, is low with these units, as SQL; null without a reorder point."""
    return f"{available} <= {row}.reorder_point"


def is_shown_sql(row: str, levels: str) -> str:
    """Return IS_SHOWN as SQL for `row`, an alias, with the quantities of `levels`, another or the same."""
    return f"({row}.is_listed OR {levels}.on_hand + {levels}.reserved + {levels}.committed + {levels}.unavailable > 0)"
