"""Do explain, as_of, movements and the item list stay as fast when the ledger grows? `make bench-reading`

One product among a hundred gets a longer and longer history; each reading is timed as the service runs it, in turns.
"""

import statistics
import time
from collections.abc import Callable

from benchmarks import migrated_server
from shop.toolkit.callers import SYSTEM

SIZES = (1_000, 10_000, 100_000, 1_000_000)
ROUNDS = 200

# A chain of movements of the first product, written as the ledger would have been, then the row that is its head.
GROW = """
WITH grown AS (
    INSERT INTO inventory_movement (product_id, warehouse_id, seq, kind, reason, reference, note, created_at,
        on_hand_delta, reserved_delta, committed_delta, unavailable_delta, on_hand, reserved, committed, unavailable)
    SELECT s.product_id, s.warehouse_id, s.seq + n, 'adjust', 'found', '', '',
           clock_timestamp() - interval '1 year' + (s.seq + n) * interval '30 seconds', 1, 0, 0, 0,
           s.on_hand + n, s.reserved, s.committed, s.unavailable
      FROM inventory_stock s, generate_series(1, %s) n WHERE s.product_id = 1
)
UPDATE inventory_stock SET on_hand = on_hand + %s, seq = seq + %s WHERE product_id = 1
"""


def main() -> None:
    import django

    django.setup()
    from datetime import UTC, datetime, timedelta

    from django.core.management import call_command
    from django.db import connection

    from inventory import services as inventory
    from inventory.stock import history, items
    from shop.toolkit.db.pages import PageRequest

    call_command("load_demo", verbosity=0)
    then = datetime.now(UTC) - timedelta(days=365) + timedelta(hours=2)
    readings: dict[str, Callable[[], object]] = {
        "as_of": lambda: history.item_as_of(1, then, caller=SYSTEM),
        "explain": lambda: inventory.explain(1, caller=SYSTEM),
        "movements": lambda: history.list_movements(1, page=PageRequest(), caller=SYSTEM),
        "items": lambda: items.list_items(page=PageRequest(), low_stock=False, caller=SYSTEM),
    }
    base: dict[str, float] = {}
    print(f"{'movements':>10}  " + "  ".join(f"{name:>22}" for name in readings))
    written = 0
    for size in SIZES:
        more, written = size - written, size
        with connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = 0")
            cursor.execute(GROW, [more, more, more])
            cursor.execute("VACUUM ANALYZE inventory_movement")
        times: dict[str, list[float]] = {name: [] for name in readings}
        for _ in range(ROUNDS):
            for name, read in readings.items():
                started = time.perf_counter()
                read()
                times[name].append(time.perf_counter() - started)
        medians = {name: statistics.median(found) for name, found in times.items()}
        base = base or medians
        cells = (f"{medians[name] * 1000:8.2f} ms {medians[name] / base[name]:6.2f} x" for name in readings)
        print(f"{size:>10}  " + "  ".join(f"{cell:>22}" for cell in cells), flush=True)


if __name__ == "__main__":
    with migrated_server():
        main()
