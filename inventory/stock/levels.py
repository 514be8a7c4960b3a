"""The quantities of a stock row, and what follows from them."""

from typing import NamedTuple

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Greatest

Key = tuple[int, int]  # of a stock row: product and warehouse


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
        """Units that a new reservation may claim. The one definition that check, preview and reserve share."""
        free = self.on_hand - self.unavailable - self.safety_stock - self.reserved - self.committed
        return max(0, free + self.backorder_limit)


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
        return self.on_hand - self.unavailable

    @property
    def free(self) -> int:
        """Sellable units that nobody is promised: they may leave or be set aside, safety stock included.

        The backorder limit is no part of it: it widens what may be promised, not what is there.
        """
        return max(0, self.sellable - self.promised)


# Units that may be sold, for queries over stock rows.
AVAILABLE = Greatest(
    F("on_hand") - F("unavailable") - F("safety_stock") - F("reserved") - F("committed"),
    0,
    output_field=models.IntegerField(),
)
# Which stock rows are low, where AVAILABLE is there as `free`. A row without a reorder point never is.
IS_LOW = Q(
    reorder_point__isnull=False, free__lte=F("reorder_point"), warehouse__is_active=True, product__is_active=True
)


# Which stock rows people see.
IS_SHOWN = ~Q(is_listed=False, on_hand=0, reserved=0, committed=0, unavailable=0)


def is_low(reorder_point: int | None, available: int, *, is_sold: bool) -> bool:
    """Tell whether a stock row is low: IS_LOW, of a row that has been read."""
    return is_sold and reorder_point is not None and available <= reorder_point
