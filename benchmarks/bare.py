"""A bare Django view with one SELECT, on the database, the pool and the server that the shop uses: what is left when
all that the shop adds is taken away."""

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.db import connection
from django.http import HttpRequest, JsonResponse
from django.urls import path

from shop import settings as shop
from shop.toolkit.http.concurrency import limit_concurrency

settings.configure(
    ALLOWED_HOSTS=shop.ALLOWED_HOSTS,
    DATABASES=shop.DATABASES,
    ROOT_URLCONF="benchmarks.bare",
    SECRET_KEY=shop.SECRET_KEY,
    USE_TZ=True,
)


STATEMENT = "SELECT sum(on_hand - reserved - committed) FROM inventory_stock WHERE product_id = %s"


def available(request: HttpRequest) -> JsonResponse:
    """Tell what is free of a product."""
    product_id = int(request.GET["product_id"])
    with connection.cursor() as cursor:
        cursor.execute(STATEMENT, [product_id])
        (units,) = cursor.fetchone()
    return JsonResponse({"product_id": product_id, "available_quantity": units})


urlpatterns = [path("", available), path("readyz", lambda request: JsonResponse({}))]
application = limit_concurrency(get_wsgi_application(), shop.THREADS)
