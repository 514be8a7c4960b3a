"""What every process counts for Prometheus. What the business counts stands beside the business.

The processes of a server share their figures by files in PROMETHEUS_MULTIPROC_DIR, which `shop.server` makes.
"""

import time
from collections.abc import Callable
from functools import partial

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics

disable_created_metrics()  # type: ignore[no-untyped-call]  # processes that count together do not tell them either

REQUEST_SECONDS = Histogram(
    "shop_request_seconds",
    "Time of a request by route, method and status.",
    ["route", "method", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 8),
)
REFUSALS = Counter("shop_refusals", "Answers that are problems, by their code.", ["code"])
POOL_WAIT_SECONDS = Histogram(
    "shop_pool_wait_seconds",
    "Time that a thread waited for a connection to the database.",
    ["database"],
    buckets=(0.001, 0.005, 0.025, 0.1, 0.5, 1, 2),
)
POOL_IN_USE = Gauge(
    "shop_pool_in_use", "Connections that threads have just now.", ["database"], multiprocess_mode="livesum"
)
METHODS = frozenset({"GET", "HEAD", "POST", "PATCH", "DELETE"})


def measure_requests(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Measure how long each request takes. A path without a route is told by nothing but that."""

    def middleware(request: HttpRequest) -> HttpResponse:
        began = time.perf_counter()
        response = get_response(request)
        seconds = time.perf_counter() - began
        route = request.resolver_match.route if request.resolver_match else "(none)"
        method = request.method if request.method in METHODS else "(other)"
        REQUEST_SECONDS.labels(route, method, response.status_code).observe(seconds)
        return response

    return middleware


def count_at_commit(counter: Counter, units: int = 1) -> None:
    """Count what the transaction does, if it comes to that."""
    transaction.on_commit(partial(counter.inc, units))
