"""The HTTP skin of inventory."""

from inventory.views._files import (
    ImportErrorsView,
    ImportListView,
    ImportUndoView,
    ImportView,
    StockCsvView,
    StockXlsxView,
)
from inventory.views._reservations import (
    ReservationConfirmView,
    ReservationExtendView,
    ReservationListView,
    ReservationReleaseView,
    ReservationView,
)
from inventory.views._stock import (
    AdjustmentView,
    CheckStockView,
    CheckView,
    ExplanationView,
    ItemListView,
    ItemView,
    MovementListView,
    PolicyView,
    PreviewView,
    TransferView,
    UpdateStockView,
    WarehouseListView,
    WarehouseView,
)

__all__ = [
    "AdjustmentView",
    "CheckStockView",
    "CheckView",
    "ExplanationView",
    "ImportErrorsView",
    "ImportListView",
    "ImportUndoView",
    "ImportView",
    "ItemListView",
    "ItemView",
    "MovementListView",
    "PolicyView",
    "PreviewView",
    "ReservationConfirmView",
    "ReservationExtendView",
    "ReservationListView",
    "ReservationReleaseView",
    "ReservationView",
    "StockCsvView",
    "StockXlsxView",
    "TransferView",
    "UpdateStockView",
    "WarehouseListView",
    "WarehouseView",
]
