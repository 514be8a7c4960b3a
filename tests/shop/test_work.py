"""`manage.py work`: what nobody waits for."""

import logging
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import psycopg
import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection, transaction
from procrastinate.contrib.django import app

from benchmarks import ROOT, free_port
from inventory import services as inventory
from inventory.imports import documents
from shop import tasks, verification
from shop.toolkit import jobs
from shop.toolkit.callers import SYSTEM
from tests import factories
from tests.conftest import environment, fetch, wait_until
from tests.inventory.imports import on_hand, staged
from tests.shop.metric_samples import sample
from tests.stock_rows import overdue


@contextmanager
def worker(*arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen([sys.executable, "manage.py", "work", *arguments], cwd=ROOT, env=environment())
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def waiting() -> list[tuple]:
    return fetch("SELECT task_name, status::text FROM procrastinate_jobs ORDER BY id")


def test_it_finishes_imports_expires_holds_and_clears_keys(database):
    mug = factories.product(sku="MUG", stock=5)
    document = staged("sku,quantity\nMUG,9\n")
    # Not of the mug: the import, which runs beside, would end that hold itself, and the order would follow next time.
    order = factories.order(factories.user(), (factories.product(sku="CUP", stock=5).id, 1))
    overdue(fetch("SELECT reservation_id FROM orders_order")[0][0])
    fetch(
        "INSERT INTO toolkit_idempotencykey (user_id, endpoint, key, fingerprint, content_type, created_at)"
        " VALUES (1, 'POST /', 'k', '', '', now() - interval '2 days') RETURNING 1"
    )

    call_command("work", "--once")

    assert documents.get_import(document.id, caller=SYSTEM).status == "applied"
    assert on_hand(mug.id) == {"MAIN": 9}
    assert fetch("SELECT status FROM orders_order WHERE id = %s", order.id) == [("expired",)]
    assert fetch("SELECT count(*) FROM toolkit_idempotencykey") == [(0,)]
    assert waiting() == []


def test_a_job_is_there_when_its_transaction_is_committed_and_not_before(database):
    with transaction.atomic():
        jobs.defer(inventory.FINISH_IMPORT, import_id="none")
        transaction.set_rollback(True)
    assert waiting() == []

    with transaction.atomic():
        jobs.defer(inventory.FINISH_IMPORT, import_id="none")
    assert waiting() == [("finish_import", "todo")]


def test_the_job_of_a_killed_worker_is_done_by_another(database):
    factories.product(sku="MUG", stock=5)
    document = staged("sku,quantity\nMUG,9\n")
    jobs.defer(inventory.FINISH_IMPORT, import_id=str(document.id))
    with worker() as process, transaction.atomic():
        fetch("SELECT 1 FROM inventory_stockimport FOR UPDATE")
        wait_until(lambda: ("finish_import", "doing") in waiting(), seconds=20)
        process.kill()
        process.wait()
    assert documents.get_import(document.id, caller=SYSTEM).status == "staged"
    # Its worker was heard of a moment ago: the minute that it takes to be given up has passed.
    fetch("UPDATE procrastinate_workers SET last_heartbeat = now() - interval '1 minute' RETURNING 1")

    call_command("work", "--once")
    call_command("work", "--once")

    assert documents.get_import(document.id, caller=SYSTEM).status == "applied"


@pytest.mark.skipif(settings.POOLED_BY_TRANSACTION, reason="a pooler gives its timeouts to whoever holds the lock too")
def test_a_worker_that_is_told_to_stop_leaves_its_import_to_others(database):
    factories.product(sku="MUG", stock=5)
    document = staged("sku,quantity\nMUG,9\n")
    jobs.defer(inventory.FINISH_IMPORT, import_id=str(document.id))
    # Not a connection of ours: those may not do nothing for so long.
    with worker() as process, psycopg.connect(environment()["DATABASE_URL"]) as other:
        other.execute("SELECT 1 FROM inventory_stockimport FOR UPDATE")
        wait_until(lambda: ("finish_import", "doing") in waiting(), seconds=20)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert ("finish_import", "todo") in waiting()
    fetch("UPDATE procrastinate_jobs SET scheduled_at = NULL RETURNING 1")  # it is tried again a moment later

    call_command("work", "--once")

    assert documents.get_import(document.id, caller=SYSTEM).status == "applied"


def test_it_ends_when_told_and_tells_what_it_counts(database):
    factories.order(factories.user(), (factories.product(stock=5).id, 1))
    overdue(fetch("SELECT reservation_id FROM orders_order")[0][0])
    port = free_port()
    with worker("--metrics-port", str(port)) as process:

        def tells() -> bool:
            try:
                text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
                return sample(text, "shop_reservations_total", outcome="expired") == 1
            except httpx.TransportError:
                return False

        wait_until(tells, seconds=20)
        wait_until(lambda: fetch("SELECT count(*) FROM procrastinate_workers") == [(1,)], seconds=20)
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
    assert fetch("SELECT count(*) FROM procrastinate_workers") == [(0,)]


def left_by_a_killed_worker(task: str) -> None:
    """A job that is being done by somebody who is no more."""
    fetch("UPDATE procrastinate_jobs SET status = 'doing' WHERE task_name = %s RETURNING 1", task)


def test_a_chore_of_a_killed_worker_that_waits_again_holds_up_no_rescue(database):
    factories.product(sku="MUG", stock=5)
    document = staged("sku,quantity\nMUG,9\n")
    for _ in range(2):  # its twin waits when it is to be given to another
        app.configure_task("send_mails", queueing_lock="send_mails").defer(timestamp=0)
        if waiting() == [("send_mails", "todo")]:
            left_by_a_killed_worker("send_mails")
    jobs.defer(inventory.FINISH_IMPORT, lock=inventory.ONE_IMPORT, import_id=str(document.id))
    left_by_a_killed_worker("finish_import")

    call_command("work", "--once")
    call_command("work", "--once")

    assert documents.get_import(document.id, caller=SYSTEM).status == "applied"
    assert waiting() == []


def test_an_import_that_is_under_way_is_not_deferred_again(database):
    factories.product(sku="MUG", stock=5)
    document = staged("sku,quantity\nMUG,9\n")
    for _ in range(2):
        tasks.resume_imports()
    assert waiting() == [("finish_import", "todo")]
    left_by_a_killed_worker("finish_import")
    tasks.resume_imports()
    assert waiting() == [("finish_import", "doing")]
    assert jobs.under_way(inventory.FINISH_IMPORT) == [{"import_id": str(document.id)}]


def test_a_chore_that_fails_is_logged_and_leaves_no_failed_job(database, caplog):
    def fails() -> None:
        raise OSError("the mail server is away")

    failing = tasks._from_time_to_time("0 0 1 1 *", fails)
    failing.defer(timestamp=0)
    with caplog.at_level(logging.ERROR, logger="shop"):
        call_command("work", "--once")

    assert "The chore fails failed; it is tried again at its next time" in caplog.text
    assert waiting() == []


def test_books_that_are_broken_are_told(database, caplog):
    factories.product(stock=5)
    look_at_the_books()
    assert "head" not in verification.last_verdict().broken
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica; UPDATE inventory_stock SET on_hand = on_hand + 1")
    with caplog.at_level(logging.ERROR, logger="shop"):
        look_at_the_books()

    assert "The books are broken: head" in caplog.text
    assert "head" in verification.last_verdict().broken


def look_at_the_books() -> None:
    app.configure_task("verify_books").defer(timestamp=0)
    call_command("work", "--once")
    assert waiting() == []


def test_it_has_a_connection_for_each_job(database):
    """Also where a worker of the server has but one."""
    code = (
        "import django; django.setup(); from django.db import connection;"
        "from shop.management.commands import work; work._make_room(); print(connection.pool.max_size, work.AT_ONCE)"
    )
    given = {**environment(), "DATABASE_POOL_SIZE": "1", "DJANGO_SETTINGS_MODULE": "shop.settings"}
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=given, capture_output=True, text=True)
    size, at_once = said.stdout.split()
    assert int(size) >= int(at_once)


def test_it_finishes_a_dry_run_that_nobody_else_did_and_writes_nothing(database):
    mug = factories.product(sku="MUG", stock=5)
    document = staged("sku,quantity\nMUG,9\n", dry_run=True)

    call_command("work", "--once")

    assert (
        documents.get_import(document.id, caller=SYSTEM).status,
        documents.get_import(document.id, caller=SYSTEM).changed,
    ) == ("checked", 1)
    assert on_hand(mug.id) == {"MAIN": 5}
    assert waiting() == []
