"""What a connection does when the server says more than it should."""

import threading
from collections.abc import Callable, Iterator

import psycopg
import pytest
from django.conf import settings
from django.db import OperationalError, connection

from shop.toolkit.db import transactions
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
