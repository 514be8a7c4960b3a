"""`/metrics`: what the processes of this server have counted, and what the database says."""

import contextlib
import hmac
import logging
import os
from collections.abc import Iterable, Iterator

import psutil
from django.conf import settings
from django.db import Error
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from inventory import services as inventory
from shop import verification
from shop.toolkit import jobs
from shop.toolkit.db import replicas
from shop.toolkit.http.problems import method_not_allowed, problem

SHARED = "PROMETHEUS_MULTIPROC_DIR"

logger = logging.getLogger(__name__)


@csrf_exempt
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    """Answer with all figures, to whoever has METRICS_TOKEN: they tell how the business goes."""
    if request.method not in ("GET", "HEAD"):
        return method_not_allowed("GET, HEAD")
    given = request.META.get("HTTP_AUTHORIZATION", "").encode()
    if not settings.METRICS_TOKEN or not hmac.compare_digest(given, f"Bearer {settings.METRICS_TOKEN}".encode()):
        return problem(401, "not_authenticated", "Not authenticated", "The token is not METRICS_TOKEN.")
    encode, content_type = choose_encoder(request.META.get("HTTP_ACCEPT", ""))
    return HttpResponse(encode(registry()), content_type=content_type)


def registry() -> CollectorRegistry:
    """Return everything that is to be told, read when it is asked for."""
    found = CollectorRegistry()
    found.register(_Counted())
    found.register(_Found())
    return found


class _Counted(Collector):
    """What this process and those beside it have counted, with SKUs for the products that were short."""

    def collect(self) -> Iterator[Metric]:
        for family in _of_processes():
            if family.name == "shop_shortages":
                _name_products(family)
            yield family


def _of_processes() -> Iterable[Metric]:
    if SHARED not in os.environ:
        return REGISTRY.collect()
    _forget_dead(os.environ[SHARED])
    return MultiProcessCollector(None).collect()  # type: ignore[no-any-return, no-untyped-call]


def _forget_dead(folder: str) -> None:
    """What processes that have ended counted stays; what they held just then does not."""
    pids = {int(name.rpartition("_")[2].removesuffix(".db")) for name in os.listdir(folder) if "_live" in name}
    for pid in pids:
        if not psutil.pid_exists(pid):
            with contextlib.suppress(FileNotFoundError):  # somebody else who reads them was quicker
                mark_process_dead(pid, folder)  # type: ignore[no-untyped-call]


def _name_products(family: Metric) -> None:
    ids = {int(id_) for sample in family.samples if (id_ := sample.labels["product_id"]).isdigit()}
    try:
        skus = inventory.skus(ids)
    except Error:
        skus = {}
    for sample in family.samples:
        product_id = sample.labels.pop("product_id")
        sample.labels["sku"] = skus.get(int(product_id), product_id) if product_id.isdigit() else product_id


class _Found(Collector):
    """What the database says: the same on every server, so that it is to be taken once, not summed."""

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("shop_database_up", "Whether the database answers.")
        try:
            found = [*_stock(), *_jobs(), *_verdict(), *_replica()]
        except Error as error:
            logger.warning("The database does not answer: %s", error)
            found = []
        up.add_metric([], bool(found))
        yield from [up, *found]


def _stock() -> Iterator[Metric]:
    figures = inventory.stock_figures()
    yield GaugeMetricFamily("shop_holds", "Reservations that are held.", figures.holds)
    yield GaugeMetricFamily("shop_overdue_holds", "Holds past their deadline.", figures.overdue_holds)
    yield GaugeMetricFamily("shop_oldest_hold_seconds", "Age of the oldest hold.", figures.oldest_hold_seconds)
    yield GaugeMetricFamily("shop_unfinished_imports", "Imports with more to do.", figures.unfinished_imports)
    # No counter: an undo that is tried again has its refused rows judged anew.
    rows = GaugeMetricFamily("shop_import_rows", "Rows of imports by what became of them.", labels=["outcome"])
    for outcome, count in figures.import_rows.items():
        rows.add_metric([outcome], count)
    yield rows


def _jobs() -> Iterator[Metric]:
    counts = jobs.count_by_status()
    told = GaugeMetricFamily("shop_jobs", "Jobs in the queue by their status.", labels=["status"])
    for status in ("todo", "doing", "failed"):
        told.add_metric([status], counts.get(status, 0))
    yield told


def _verdict() -> Iterator[Metric]:
    verdict = verification.last_verdict()
    if verdict is None:
        return
    yield GaugeMetricFamily("shop_books_broken", "Checks of verify_stock that found something.", len(verdict.broken))
    yield GaugeMetricFamily(
        "shop_books_checked_timestamp_seconds", "When verify_stock last looked.", verdict.taken_at.timestamp()
    )


def _replica() -> Iterator[Metric]:
    lag = replicas.lag_seconds()
    if lag is not None:
        yield GaugeMetricFamily("shop_replica_lag_seconds", "How far the replica is behind.", lag)
