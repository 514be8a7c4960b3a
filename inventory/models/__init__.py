"""The tables of stock. All quantities are whole units; `sql` holds the statements that change them."""

from inventory.models._documents import LOADED, UNFINISHED, Count, CountLine, ImportRow, ImportStatus, Mode, StockImport
from inventory.models._reservations import OPEN_STATES, Reservation, ReservationLine, State
from inventory.models._stock import (
    AVAILABLE,
    IS_LOW,
    IS_SHOWN,
    MANUAL_REASONS,
    MAX_LEVEL,
    MAX_NOTE,
    MAX_REFERENCE,
    Item,
    Kind,
    Movement,
    Reason,
    Stock,
    Warehouse,
    WarehouseScope,
)

__all__ = [
    "AVAILABLE",
    "IS_LOW",
    "IS_SHOWN",
    "LOADED",
    "MANUAL_REASONS",
    "MAX_LEVEL",
    "MAX_NOTE",
    "MAX_REFERENCE",
    "OPEN_STATES",
    "UNFINISHED",
    "Count",
    "CountLine",
    "ImportRow",
    "ImportStatus",
    "Item",
    "Kind",
    "Mode",
    "Movement",
    "Reason",
    "Reservation",
    "ReservationLine",
    "State",
    "Stock",
    "StockImport",
    "Warehouse",
    "WarehouseScope",
]
