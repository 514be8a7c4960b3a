"""The tables of inventory, for Django; each is defined in its room."""

from inventory.counts.models import Count, CountLine
from inventory.imports.models import ImportRow, StockImport
from inventory.reservations.models import Reservation, ReservationLine
from inventory.stock.models import Item, Movement, Stock, Warehouse, WarehouseScope
