"""Collects the models of all packages, for Django."""

from inventory.counts.models import Count, CountLine
from inventory.imports.models import ImportRow, StockImport
from inventory.reservations.models import Reservation, ReservationLine
from inventory.stock.models import Item, Movement, Stock, Warehouse, WarehouseScope
