from django.urls import path

from orders import views

urlpatterns = [
    path("orders", views.OrderListView.as_view()),
    path("orders/<uuid:order_id>", views.OrderView.as_view()),
    path("orders/<uuid:order_id>/confirm", views.OrderConfirmView.as_view()),
    path("orders/<uuid:order_id>/cancel", views.OrderCancelView.as_view()),
    path("orders/<uuid:order_id>/fulfill", views.OrderFulfillView.as_view()),
    path("orders/<uuid:order_id>/return", views.OrderReturnView.as_view()),
]
