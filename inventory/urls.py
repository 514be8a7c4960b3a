from django.urls import path

from inventory.imports import http as imports_http
from inventory.reservations import http as reservations_http
from inventory.stock import http as stock_http

urlpatterns = [
    path("inventory/check", reservations_http.CheckView.as_view()),
    path("inventory/items", stock_http.ItemListView.as_view()),
    path("inventory/items/<id:product_id>", stock_http.ItemView.as_view()),
    path("inventory/items/<id:product_id>/explain", stock_http.ExplanationView.as_view()),
    path("inventory/items/<id:product_id>/movements", stock_http.MovementListView.as_view()),
    path("inventory/items/<id:product_id>/adjustments", stock_http.AdjustmentView.as_view()),
    path("inventory/items/<id:product_id>/stocks/<code:warehouse>", stock_http.StockView.as_view()),
    path("inventory/transfers", stock_http.TransferView.as_view()),
    path("inventory/allocations/preview", reservations_http.PreviewView.as_view()),
    path("inventory/reservations", reservations_http.ReservationListView.as_view()),
    path("inventory/reservations/<uuid:reservation_id>", reservations_http.ReservationView.as_view()),
    path("inventory/reservations/<uuid:reservation_id>/confirm", reservations_http.ReservationConfirmView.as_view()),
    path("inventory/reservations/<uuid:reservation_id>/fulfill", reservations_http.ReservationFulfillView.as_view()),
    path("inventory/reservations/<uuid:reservation_id>/release", reservations_http.ReservationReleaseView.as_view()),
    path("inventory/reservations/<uuid:reservation_id>/extend", reservations_http.ReservationExtendView.as_view()),
    path("inventory/imports", imports_http.ImportListView.as_view()),
    path("inventory/imports/<uuid:import_id>", imports_http.ImportView.as_view()),
    path("inventory/imports/<uuid:import_id>/errors", imports_http.ImportErrorsView.as_view()),
    path("inventory/imports/<uuid:import_id>/undo", imports_http.ImportUndoView.as_view()),
    path("inventory/exports/stock.csv", imports_http.StockCsvView.as_view()),
    path("inventory/exports/stock.xlsx", imports_http.StockXlsxView.as_view()),
    path("inventory/warehouses", stock_http.WarehouseListView.as_view()),
    path("inventory/warehouses/<code:code>", stock_http.WarehouseView.as_view()),
]
