"""The staff's screens of stock. Rows are read-only; every change is one call of a service."""

from inventory.admin._counts import CountAdmin
from inventory.admin._imports import StockImportAdmin
from inventory.admin._items import ItemAdmin
from inventory.admin._others import ReservationAdmin, WarehouseAdmin, WarehouseScopeAdmin

__all__ = ["CountAdmin", "ItemAdmin", "ReservationAdmin", "StockImportAdmin", "WarehouseAdmin", "WarehouseScopeAdmin"]
