from django.urls import path

from inventory import views

urlpatterns = [
    path("inventory/check", views.CheckView.as_view()),
    path("inventory/items", views.ItemListView.as_view()),
    path("inventory/items/<id:product_id>", views.ItemView.as_view()),
    path("inventory/warehouses", views.WarehouseListView.as_view()),
    path("inventory/warehouses/<str:code>", views.WarehouseView.as_view()),
]
