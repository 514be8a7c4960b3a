from django.contrib import admin
from django.urls import include, path, register_converter
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularSwaggerSplitView

from inventory.reservations.http import CheckStockView
from inventory.stock.http import UpdateStockView
from orders.http import CreateOrderView
from shop import health
from shop.document import DocumentView
from shop.metrics import metrics
from shop.toolkit.http.converters import CodeConverter, IdConverter

register_converter(IdConverter, "id")
register_converter(CodeConverter, "code")

urlpatterns = [
    # In the order of how much they are asked: they are tried one after the other.
    path("api/v1/", include("inventory.urls")),
    path("api/v1/", include("orders.urls")),
    path("api/v1/", include("products.urls")),
    path("api/v1/", include("users.urls")),
    # The endpoints of the services that this one takes the place of, with their bodies, where their clients look.
    path("check_stock", CheckStockView.as_view()),
    path("update_stock", UpdateStockView.as_view()),
    path("create_order", CreateOrderView.as_view()),
    path("api/schema", DocumentView.as_view(), name="schema"),
    path("api/docs", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="docs"),
    path("", RedirectView.as_view(pattern_name="docs")),
    path("admin", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    path("healthz", health.healthz),
    path("readyz", health.readyz),
    path("metrics", metrics),
]

handler400 = "shop.toolkit.http.problems.bad_request"
handler403 = "shop.toolkit.http.problems.forbidden"
handler404 = "shop.toolkit.http.problems.unknown_path"
handler500 = "shop.answers.crash"
