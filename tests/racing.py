"""Threads that are let go at once, each with a connection and a transaction of its own, and what they met."""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta

from django.db import connections

from inventory import services as inventory
from shop.toolkit.callers import SYSTEM
from shop.toolkit.db import transactions
from shop.toolkit.ids import new_id
from tests.conftest import fetch


def all_at_once(*works: Callable[[], object]) -> list[object]:
    """Run each of `works` in a transaction and a thread of its own; return their results, or the refusals they met."""
    barrier = threading.Barrier(len(works))
    results: list[object] = [None] * len(works)

    def run(place: int, work: Callable[[], object]) -> None:
        barrier.wait()
        try:
            results[place] = transactions.run(work)
        except Exception as error:
            results[place] = error
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def kinds(results: Sequence[object]) -> Counter[str]:
    return Counter(type(result).__name__ for result in results)


def reserve(*demand: tuple[int, int], reference: str = "") -> Callable[[], inventory.Reservation]:
    reservation_id = new_id()
    return lambda: inventory.reserve(
        reservation_id=reservation_id,
        owner="test",
        reference=reference or str(reservation_id),
        demand=[inventory.Demand(product_id, quantity) for product_id, quantity in demand],
        ttl=timedelta(minutes=15),
        caller=SYSTEM,
    )


def deadlocks() -> int:
    fetch("SELECT pg_stat_force_next_flush()")
    return fetch("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")[0][0]
