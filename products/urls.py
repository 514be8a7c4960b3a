from django.urls import path

from products import http

urlpatterns = [
    path("products", http.ProductListView.as_view()),
    path("products/<id:product_id>", http.ProductView.as_view()),
]
