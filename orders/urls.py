from django.urls import path

from orders import http

urlpatterns = [
    path("orders", http.OrderListView.as_view()),
    path("orders/<uuid:order_id>", http.OrderView.as_view()),
    path("orders/<uuid:order_id>/confirm", http.OrderConfirmView.as_view()),
    path("orders/<uuid:order_id>/cancel", http.OrderCancelView.as_view()),
    path("orders/<uuid:order_id>/fulfill", http.OrderFulfillView.as_view()),
    path("orders/<uuid:order_id>/return", http.OrderReturnView.as_view()),
]
