"""`transactions.run` returns only what is committed, and repeats what may be repeated."""

import threading
from datetime import timedelta
from functools import partial

import pytest
from django.db import OperationalError, connection, connections, transaction

from inventory import services as inventory
from shop.toolkit.callers import SYSTEM
from shop.toolkit.db import transactions
from shop.toolkit.ids import new_id
from tests import factories
from tests.conftest import fetch
from users import models

pytestmark = pytest.mark.usefixtures("database")


def names() -> list[str]:
    return [name for (name,) in fetch("SELECT name FROM users_user ORDER BY name")]


def insert(name: str) -> str:
    models.User.objects.create(email=f"{name}@example.com", name=name)
    return name


def test_the_result_comes_after_the_commit():
    assert transactions.run(lambda: insert("a")) == "a"
    assert names() == ["a"]


def test_an_exception_undoes_everything():
    def work() -> None:
        insert("a")
        raise LookupError

    with pytest.raises(LookupError):
        transactions.run(work)
    assert names() == []


def test_a_block_that_ends_without_a_commit_is_no_success():
    def swallow() -> None:
        insert("a")
        try:
            with transaction.atomic(savepoint=False):
                raise LookupError
        except LookupError:
            pass

    with pytest.raises(transactions.NotCommitted):
        transactions.run(swallow)
    assert names() == []


def test_a_failure_of_a_later_hook_does_not_undo_what_is_committed(caplog):
    def work() -> str:
        transaction.on_commit(lambda: 1 / 0)
        return insert("a")

    assert transactions.run(work) == "a"
    assert names() == ["a"]
    assert "hook failed" in caplog.text


def test_it_is_always_the_outermost_transaction():
    with pytest.raises(RuntimeError, match="durable"), transaction.atomic():
        transactions.run(lambda: None)


@pytest.mark.alone
def test_a_deadlock_is_repeated_and_both_get_through():
    first, second = factories.user(), factories.user()
    barrier, attempts = threading.Barrier(2), []

    def rename(one: int, other: int) -> None:
        def work() -> None:
            attempts.append(one)
            models.User.objects.filter(pk=one).update(name="renamed")
            if len(attempts) <= 2:
                barrier.wait(5)
            models.User.objects.filter(pk=other).update(name="renamed")

        transactions.run(work)
        connections.close_all()

    threads = [threading.Thread(target=rename, args=pair) for pair in ((first.id, second.id), (second.id, first.id))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(attempts) == 3
    assert names() == ["renamed", "renamed"]


def test_another_error_is_not_repeated():
    attempts = []

    def work() -> None:
        attempts.append(1)
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '1ms'")
            cursor.execute("SET LOCAL statement_timeout = '5ms'")
            cursor.execute("SELECT pg_sleep(1)")

    with pytest.raises(OperationalError):
        transactions.run(work)
    assert attempts == [1]


def test_connections_read_committed():
    assert fetch("SHOW transaction_isolation") == [("read committed",)]
    assert fetch("SHOW lock_timeout") == [("2s",)]
    assert fetch("SHOW statement_timeout") == [("5s",)]
    assert fetch("SHOW idle_in_transaction_session_timeout") == [("5s",)]


def test_a_reserve_that_nobody_would_repeat_says_so_at_once(database):
    product = factories.product(stock=1)
    reserve = partial(
        inventory.reserve,
        reservation_id=new_id(),
        owner="test",
        reference="r",
        demand=[inventory.Demand(product.id, 1)],
        ttl=timedelta(minutes=1),
        caller=SYSTEM,
    )
    said = r"inventory\.reserve .* Call it inside shop\.toolkit\.db\.transactions\.run"
    with pytest.raises(AssertionError, match=said), transaction.atomic():
        reserve()
    assert fetch("SELECT count(*) FROM inventory_reservation") == [(0,)]
    assert transactions.run(reserve).state == "held"
