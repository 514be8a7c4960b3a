"""Stock: what is there, who has a claim on it, and how it came to be so. The only module that other apps may import."""

from inventory.services._availability import check
from inventory.services._facts import (
    Allocation,
    Availability,
    Demand,
    InsufficientStock,
    InvalidTransition,
    Item,
    ItemNotFound,
    Level,
    LevelOutOfRange,
    Reservation,
    ReservationNotFound,
    Shortage,
    Stock,
    Warehouse,
    WarehouseExists,
    WarehouseInUse,
    WarehouseNotFound,
)
from inventory.services._items import get_item, list_items, provision_item, relabel_item, stock_levels
from inventory.services._ledger import receive
from inventory.services._reservations import confirm, release, reservations, reserve
from inventory.services._warehouses import (
    create_warehouse,
    delete_warehouse,
    get_warehouse,
    list_warehouses,
    update_warehouse,
)

__all__ = [
    "Allocation",
    "Availability",
    "Demand",
    "InsufficientStock",
    "InvalidTransition",
    "Item",
    "ItemNotFound",
    "Level",
    "LevelOutOfRange",
    "Reservation",
    "ReservationNotFound",
    "Shortage",
    "Stock",
    "Warehouse",
    "WarehouseExists",
    "WarehouseInUse",
    "WarehouseNotFound",
    "check",
    "confirm",
    "create_warehouse",
    "delete_warehouse",
    "get_item",
    "get_warehouse",
    "list_items",
    "list_warehouses",
    "provision_item",
    "receive",
    "relabel_item",
    "release",
    "reservations",
    "reserve",
    "stock_levels",
    "update_warehouse",
]
