"""`manage.py serve`: the server alone, and how it stops."""

import os
import signal
import subprocess
import sys
import threading

import httpx
import psutil
import psycopg
import pytest
from django.db import transaction

from benchmarks import ROOT
from tests import factories
from tests.conftest import environment, fetch, wait_until
from tests.shop.serve_command import served

WAITING = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"


def test_it_becomes_the_server_with_as_many_workers_as_asked_for(database):
    with served(WEB_WORKERS="3") as (process, base):
        assert "shop.server" in psutil.Process(process.pid).cmdline()
        assert len(psutil.Process(process.pid).children()) == 3
        assert httpx.get(f"{base}/api/v1/products").status_code == 200


def test_a_worker_that_has_not_begun_yet_ends_at_once(database):
    with served() as (process, _):
        (worker, _) = psutil.Process(process.pid).children()
        worker.kill()  # another is begun in its place
        wait_until(lambda: len(set(psutil.Process(process.pid).children()) - {worker}) == 2, seconds=5)
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0


@pytest.mark.alone
def test_what_was_begun_is_answered_after_sigterm_and_the_server_ends(database):
    product = factories.product(stock=5)
    token = factories.access_token(factories.user())
    answers: list[httpx.Response] = []

    with served() as (process, base):

        def buy() -> None:
            body = {"items": [{"product_id": product.id, "quantity": 1}]}
            headers = {"authorization": f"Bearer {token}"}
            answers.append(httpx.post(f"{base}/api/v1/orders", json=body, headers=headers))

        buyer = threading.Thread(target=buy)
        with transaction.atomic():
            fetch("SELECT 1 FROM inventory_stock WHERE product_id = %s FOR UPDATE", product.id)
            buyer.start()
            wait_until(_somebody_waits, seconds=5)
            process.send_signal(signal.SIGTERM)
            wait_until(lambda: not _connects(base), seconds=5)
        buyer.join(5)
        assert process.wait(5) == 0

    assert [answer.status_code for answer in answers] == [201]
    assert fetch("SELECT count(*) FROM orders_order") == [(1,)]


def test_the_embedded_database_is_for_run_alone():
    environment = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME")}
    result = subprocess.run(
        [sys.executable, "manage.py", "serve"], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 1
    assert "use `run`, or set DATABASE_URL" in result.stderr


def _somebody_waits() -> bool:
    # By a connection of its own: who is there is read once in a transaction.
    with psycopg.connect(environment()["DATABASE_URL"]) as other:
        return other.execute(WAITING).fetchone() is not None


def _connects(base: str) -> bool:
    try:
        httpx.get(f"{base}/healthz", timeout=1)
    except httpx.TransportError:
        return False
    return True
