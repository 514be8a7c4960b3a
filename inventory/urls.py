from django.urls import path

from inventory import views

urlpatterns = [
    path("inventory/check", views.CheckView.as_view()),
    path("inventory/items", views.ItemListView.as_view()),
    path("inventory/items/<id:product_id>", views.ItemView.as_view()),
    path("inventory/items/<id:product_id>/explain", views.ExplanationView.as_view()),
    path("inventory/items/<id:product_id>/movements", views.MovementListView.as_view()),
    path("inventory/items/<id:product_id>/adjustments", views.AdjustmentView.as_view()),
    path("inventory/items/<id:product_id>/stocks/<code:warehouse>", views.StockView.as_view()),
    path("inventory/transfers", views.TransferView.as_view()),
    path("inventory/allocations/preview", views.PreviewView.as_view()),
    path("inventory/reservations", views.ReservationListView.as_view()),
    path("inventory/reservations/<uuid:reservation_id>", views.ReservationView.as_view()),
    path("inventory/reservations/<uuid:reservation_id>/confirm", views.ReservationConfirmView.as_view()),
    path("inventory/reservations/<uuid:reservation_id>/fulfill", views.ReservationFulfillView.as_view()),
    path("inventory/reservations/<uuid:reservation_id>/release", views.ReservationReleaseView.as_view()),
    path("inventory/reservations/<uuid:reservation_id>/extend", views.ReservationExtendView.as_view()),
    path("inventory/imports", views.ImportListView.as_view()),
    path("inventory/imports/<uuid:import_id>", views.ImportView.as_view()),
    path("inventory/imports/<uuid:import_id>/errors", views.ImportErrorsView.as_view()),
    path("inventory/imports/<uuid:import_id>/undo", views.ImportUndoView.as_view()),
    path("inventory/exports/stock.csv", views.StockCsvView.as_view()),
    path("inventory/exports/stock.xlsx", views.StockXlsxView.as_view()),
    path("inventory/warehouses", views.WarehouseListView.as_view()),
    path("inventory/warehouses/<code:code>", views.WarehouseView.as_view()),
]
