"""What does an order take on disk, once it is sold and shipped? `make bench-size`

Orders of one line and of twenty, placed and fulfilled by the services: by how many bytes tables and indexes grow for
each, vacuumed before and after. Idempotency keys are kept for a day alone, and are not of it.
"""

from collections.abc import Callable
from functools import partial

from benchmarks import log_to_nowhere, migrated_server
from shop.toolkit.callers import User

PRODUCTS, ORDERS = 200, 2_000
SHAPES = (1, 20)  # lines

SIZES = """
SELECT relname, pg_table_size(oid), pg_indexes_size(oid) FROM pg_class
 WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
"""


def main() -> None:
    import django

    django.setup()

    from tests import factories

    log_to_nowhere()
    buyer = factories.user()
    catalogue = [factories.product(stock=1_000_000).id for _ in range(PRODUCTS)]
    for lines in SHAPES:
        sell(buyer.id, catalogue, lines)  # pages that are begun, and what is kept free in them, are there before
        growth = grown(partial(sell, buyer.id, catalogue, lines))
        print(f"\nlines an order: {lines}; bytes for each of {ORDERS:,} orders", flush=True)
        print(f"  {'':<28}{'table':>10}{'indexes':>10}")
        for table, (rows, indexes) in sorted(growth.items(), key=lambda found: -sum(found[1])):
            print(f"  {table:<28}{rows / ORDERS:>10.0f}{indexes / ORDERS:>10.0f}")
        print(f"  {'all':<28}{sum(map(sum, growth.values())) / ORDERS:>20.0f}")


def sell(user_id: int, catalogue: list[int], lines: int) -> None:
    """Place and ship orders, each of the next products."""
    from django.utils import timezone

    from orders import checkout, lifecycle
    from shop.toolkit.db import transactions

    for number in range(ORDERS):
        wishes = [checkout.Wish(catalogue[(number + line) % PRODUCTS], 1, None) for line in range(lines)]

        def work(wishes: list[checkout.Wish] = wishes) -> None:
            now = timezone.now()
            order = lifecycle.place_order(user_id=user_id, wishes=wishes, caller=User(user_id), now=now)
            lifecycle.fulfill_order(order.id, items=None, caller=User(user_id), now=now)

        transactions.run(work)


def grown(work: Callable[[], None]) -> dict[str, tuple[int, int]]:
    """Return by how many bytes tables and their indexes have grown; those that have not are left out."""
    before = sizes()
    work()
    return {
        table: (rows - before[table][0], indexes - before[table][1])
        for table, (rows, indexes) in sizes().items()
        if (rows, indexes) != before[table]
    }


def sizes() -> dict[str, tuple[int, int]]:
    """Return the bytes of each table and of its indexes."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
        cursor.execute(SIZES)
        return {table: (rows, indexes) for table, rows, indexes in cursor.fetchall()}


if __name__ == "__main__":
    with migrated_server():
        main()
