"""What a connection does when the server says more than it should, or nothing at all."""

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil
import psycopg
import pytest
from django.conf import settings
from django.db import OperationalError, connection

from shop.local import embedded
from shop.toolkit import transactions
from shop.toolkit.postgresql import connection as connections
from shop.toolkit.postgresql.connection import KeepingConnection, QueueConnection
from tests import factories
from tests.conftest import database_url, fetch, wait_until

LARGE = "x" * 30_000_000  # more than there is room for on the way
WAITS = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"


@pytest.fixture
def alone(database) -> Iterator[psycopg.Connection]:
    """Commits that are asked to be safe wait for a second node, which there is not."""
    if settings.POOLED_BY_TRANSACTION:
        pytest.skip("what one connection is set to, a pooler gives to others")
    with psycopg.connect(database_url(settings.DATABASES["default"]["NAME"]), autocommit=True) as other:
        other.execute("SET synchronous_commit = off")
        other.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        other.execute("SELECT pg_reload_conf()")
        yield other
        other.execute("ALTER SYSTEM RESET synchronous_standby_names")
        other.execute("SELECT pg_reload_conf()")


def test_a_commit_that_nobody_waited_for_to_the_end_is_not_believed(alone):
    """Cancelled while it waits for another node, PostgreSQL says COMMIT, and warns that it is here alone."""

    def cancel() -> None:
        wait_until(lambda: alone.execute(WAITS).fetchone() is not None, seconds=10)
        alone.execute(f"SELECT pg_cancel_backend(pid) FROM ({WAITS}) waiting")

    def work() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL synchronous_commit = on")
            cursor.execute("UPDATE inventory_warehouse SET name = 'another'")

    canceling = threading.Thread(target=cancel)
    canceling.start()
    with pytest.raises(OperationalError, match="COMMIT came with a warning: canceling wait"):
        repeat(lambda: transactions.run(work), while_true=canceling.is_alive)
    canceling.join()


def repeat(work: Callable[[], None], *, while_true: Callable[[], bool]) -> None:
    """Until the server has read its settings again, commits wait for nobody."""
    while while_true():
        work()


def test_a_commit_without_a_warning_is_believed(database):
    product = factories.product(stock=3)
    assert fetch("SELECT on_hand FROM inventory_stock WHERE product_id = %s", product.id) == [(3,)]


@contextmanager
def thawed_after(seconds: float, process: psutil.Process) -> Iterator[None]:
    """Have one process of the server read nothing for some seconds, while the others are there."""
    process.suspend()
    thaw = threading.Timer(seconds, process.resume)
    thaw.start()
    yield
    thaw.join()


@contextmanager
def frozen(*processes: psutil.Process) -> Iterator[None]:
    """Freeze processes while the body runs, at most for as long as a test may wait."""

    def send(what: signal.Signals) -> None:
        for process in processes:
            process.send_signal(what)

    thaw = threading.Timer(8, send, [signal.SIGCONT])
    send(signal.SIGSTOP)
    thaw.start()
    try:
        yield
    finally:
        thaw.cancel()
        send(signal.SIGCONT)


def server_of(found: KeepingConnection | QueueConnection) -> list[psutil.Process]:
    """Return all processes of the server."""
    postmaster = psutil.Process(found.info.backend_pid).parent()
    return [postmaster, *postmaster.children()]


@pytest.fixture
def impatient(monkeypatch) -> Iterator[str]:
    """The address of a server of which nobody expects to think for longer than half a second."""
    monkeypatch.setattr(connections, "PATIENCE_SECONDS", 0.5)
    monkeypatch.setattr(connections, "ANSWER_SECONDS", 0.5)
    with embedded.throwaway() as url:
        yield url


def gone() -> pytest.RaisesExc:
    return pytest.raises(psycopg.OperationalError, match="does not answer any more")


def test_a_server_that_is_frozen_is_not_waited_for_and_one_that_is_slow_is(impatient):
    with KeepingConnection.connect(impatient, autocommit=True) as found:
        assert found.execute("SELECT 1 FROM pg_sleep(1.5)").fetchone() == (1,)
        with thawed_after(1.5, psutil.Process(found.info.backend_pid)):
            assert found.execute("SELECT length(%s)", [LARGE]).fetchone() == (len(LARGE),)
        with frozen(*server_of(found)), gone():
            found.execute("SELECT 1")


def test_nor_by_the_queue(impatient):
    asyncio.run(queue_does_not_wait(impatient))


async def queue_does_not_wait(url: str) -> None:
    async with await QueueConnection.connect(url, autocommit=True) as found:
        answer = await found.execute("SELECT 1 FROM pg_sleep(1.5)")
        assert await answer.fetchone() == (1,)
        with thawed_after(1.5, psutil.Process(found.info.backend_pid)):
            answer = await found.execute("SELECT length(%s)", [LARGE])
        assert await answer.fetchone() == (len(LARGE),)
        with frozen(*server_of(found)):
            with pytest.raises(TimeoutError):  # silence is all that a listener expects
                await asyncio.wait_for(anext(found.notifies()), 1.5)
            with gone():
                await found.execute("SELECT 1")
