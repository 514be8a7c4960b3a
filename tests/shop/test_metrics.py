"""`/metrics`: what is told, to whom, and that the processes of a server count together."""

import json
import re
from datetime import timedelta

import httpx
import pytest
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from benchmarks import ROOT, production_server
from inventory import services as inventory
from orders import lifecycle
from shop import verification
from shop.toolkit.callers import SYSTEM, System
from shop.toolkit.db import transactions
from shop.toolkit.ids import new_id
from tests import factories
from tests.conftest import environment, wait_until
from tests.shop.metric_samples import TOKEN, sample

AUTH = {"authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def told(api, settings):
    """A function that returns the value of a sample, None when there is none."""
    settings.METRICS_TOKEN = TOKEN

    def value(name: str, **labels: str) -> float | None:
        return sample(api.get("/metrics", headers=AUTH).content.decode(), name, **labels)

    return value


def test_nobody_reads_them_without_the_token(api, settings):
    assert api.get("/metrics").status_code == 401
    settings.METRICS_TOKEN = TOKEN
    for given in ({}, {"authorization": "Bearer "}, {"authorization": f"Bearer {TOKEN}x"}):
        assert api.get("/metrics", headers=given).status_code == 401
    assert api.get("/metrics", headers=AUTH).status_code == 200
    assert api.post("/metrics", headers=AUTH).status_code == 405


def test_reservations_are_counted_by_what_became_of_them(told):
    def counts() -> dict[str, float]:
        outcomes = ("held", "short", "confirmed", "released", "expired")
        return {outcome: told("shop_reservations_total", outcome=outcome) or 0 for outcome in outcomes}

    before = counts()
    product = factories.product(stock=5)
    buyer = factories.user()
    short = told("shop_shortages_total", sku=product.sku) or 0  # of a product that had this id in another test
    first, second = (factories.order(buyer, (product.id, 1)) for _ in range(2))
    said = {"caller": System(buyer.id), "now": timezone.now()}
    transactions.run(lambda: lifecycle.confirm_order(first.id, payment_reference="", **said))
    transactions.run(lambda: lifecycle.cancel_order(second.id, **said))
    with pytest.raises(inventory.InsufficientStock):
        factories.order(buyer, (product.id, 50))

    after = counts()
    assert {name: after[name] - before[name] for name in after} == {
        "held": 2, "short": 1, "confirmed": 1, "released": 1, "expired": 0,
    }  # fmt: skip
    assert told("shop_shortages_total", sku=product.sku) == short + 1


def test_what_was_undone_is_not_counted(told):
    before = told("shop_reservations_total", outcome="held")
    product = factories.product(stock=5)
    with pytest.raises(ZeroDivisionError):
        transactions.run(lambda: (_hold(product.id), 1 / 0))
    assert told("shop_reservations_total", outcome="held") == before


def _hold(product_id: int) -> None:
    demand, ttl = [inventory.Demand(product_id, 1)], timedelta(minutes=1)
    inventory.reserve(reservation_id=new_id(), owner="tests", reference="", demand=demand, ttl=ttl, caller=SYSTEM)


def test_problems_requests_and_compare_and_sets_are_counted(told, staff):
    product = factories.product(stock=5)
    refused = told("shop_refusals_total", code="stale_quantity") or 0
    stale = told("shop_stale_quantities_total") or 0
    path = f"/api/v1/inventory/items/{product.id}/adjustments"
    wish = {"warehouse": "MAIN", "mode": "set", "quantity": 9, "expected_on_hand": 4, "reason": "correction"}
    assert staff.post(path, wish).status_code == 409

    assert told("shop_refusals_total", code="stale_quantity") == refused + 1
    assert told("shop_stale_quantities_total") == stale + 1
    route = "api/v1/inventory/items/<id:product_id>/adjustments"
    assert told("shop_request_seconds_count", route=route, method="POST", status="409") >= 1


def test_what_the_database_says(told):
    assert told("shop_database_up") == 1
    assert told("shop_books_broken") is None  # nobody has looked
    product = factories.product(stock=5)
    factories.order(factories.user(), (product.id, 1))
    verification.verify(now=timezone.now(), on_check=lambda *_: None)

    assert told("shop_holds") == 1
    assert told("shop_overdue_holds") == 0
    assert 0 <= told("shop_oldest_hold_seconds") < 60
    assert told("shop_books_broken") == len(verification.last_verdict().broken)
    assert told("shop_books_checked_timestamp_seconds") > timezone.now().timestamp() - 60
    assert told("shop_import_rows", outcome="new") == 0


def test_the_processes_of_a_server_count_together(database):
    product = factories.product(stock=5)
    with production_server(DATABASE_URL=environment()["DATABASE_URL"], METRICS_TOKEN=TOKEN) as base:
        for _ in range(40):  # over connections of their own, so that both workers have some
            httpx.get(f"{base}/api/v1/inventory/check?product_id={product.id}")

        def text() -> str:
            return httpx.get(f"{base}/metrics", headers=AUTH).text

        # All have given theirs back, but perhaps whoever tells it.
        wait_until(lambda: sample(text(), "shop_pool_in_use", database="default") in (0, 1), seconds=5)
        told = text()

    counted = sample(told, "shop_request_seconds_count", route="api/v1/inventory/check", method="GET", status="200")
    assert counted == 40
    assert sample(told, "shop_pool_wait_seconds_count", database="default") > 40


def test_the_page_and_the_dashboard_name_what_there_is(api, settings):
    settings.METRICS_TOKEN = TOKEN
    verification.verify(now=timezone.now(), on_check=lambda *_: None)
    families = text_string_to_metric_families(api.get("/metrics", headers=AUTH).content.decode())
    ours = {family.name for family in families if family.name.startswith("shop_")} | {"shop_replica_lag_seconds"}
    page = (ROOT / "docs" / "operations.md").read_text()
    listed = {
        name for row in re.findall(r"^\| (`shop_[^|]+) \|", page, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    }
    dashboard = json.loads((ROOT / "docs" / "grafana.json").read_text())
    drawn = set(re.findall(r"shop_\w+", json.dumps([panel["targets"] for panel in dashboard["panels"]])))

    assert listed == {_written(name) for name in ours}
    assert {re.sub("_(bucket|count|sum)$", "", name) for name in drawn} <= listed


def _written(name: str) -> str:
    counters = ("shop_refusals", "shop_reservations", "shop_shortages", "shop_stale_quantities")
    return f"{name}_total" if name in counters else name
