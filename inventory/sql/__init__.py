"""Every raw statement of inventory. Sets in, sets out: one statement whatever the number of lines.

Locks on stock rows are taken in `_stock` and `_reservations` and nowhere else, always in the order of the primary key,
and always after the lock on a reservation or a count, never before.
"""

from inventory.sql._reading import (
    Consumer,
    MovementRow,
    as_of,
    consumers,
    overdue_units,
)
from inventory.sql._reservations import (
    ClaimedLine,
    add_to_lines,
    confirm_reservation,
    end_reservations,
    extend_reservation,
    lock_due,
    lock_lines,
    lock_overdue,
    lock_reservation,
    open_reservation,
)
from inventory.sql._stock import (
    Change,
    Levels,
    Line,
    StockRow,
    lock_levels,
    lock_stock,
    post_movements,
    read_sellable,
    read_stock,
    share_warehouses,
)

__all__ = [
    "Change",
    "ClaimedLine",
    "Consumer",
    "Levels",
    "Line",
    "MovementRow",
    "StockRow",
    "add_to_lines",
    "as_of",
    "confirm_reservation",
    "consumers",
    "end_reservations",
    "extend_reservation",
    "lock_due",
    "lock_levels",
    "lock_lines",
    "lock_overdue",
    "lock_reservation",
    "lock_stock",
    "open_reservation",
    "overdue_units",
    "post_movements",
    "read_sellable",
    "read_stock",
    "share_warehouses",
]
