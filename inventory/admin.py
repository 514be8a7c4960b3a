"""The staff's screens of stock, for Django. Rows are read-only; every change is one call of a verb."""

from inventory.counts.admin import CountAdmin
from inventory.imports.admin import StockImportAdmin
from inventory.reservations.admin import ReservationAdmin
from inventory.stock.admin.items import ItemAdmin
from inventory.stock.admin.warehouses import WarehouseAdmin, WarehouseScopeAdmin
