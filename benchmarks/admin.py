"""How long does the database take for the staff's screens: the first page, the list of items? `make bench-admin`

100,000 items in one or two warehouses each, 1,000,000 movements, a third of them sales of the last 30 days.
"""

import statistics
import time
from typing import Any

from benchmarks import migrated_server

ITEMS, MOVEMENTS, ROUNDS = 100_000, 1_000_000, 15
PAGES = {
    "first page": "/admin/",
    "items by SKU": "/admin/inventory/item/",
    "items by available": "/admin/inventory/item/?o=3",
    "items by on hand": "/admin/inventory/item/?o=-4",
    "items low": "/admin/inventory/item/?level=low",
    "items out": "/admin/inventory/item/?level=out",
    "items in EAST": "/admin/inventory/item/?warehouse=EAST",
    "items called 999": "/admin/inventory/item/?q=S999",
    "an item": "/admin/inventory/item/7/change/",
    "its ledger": "/admin/inventory/item/7/movements/",
}

SEED = f"""
INSERT INTO inventory_warehouse (code, name, priority, is_active) VALUES ('EAST', '', 200, true);
INSERT INTO inventory_item (product_id, sku, sku_key, name, is_active, created_at)
SELECT n, 'S' || n, 's' || n, 'P', true, now() FROM generate_series(1, {ITEMS}) n;
SET session_replication_role = replica;
INSERT INTO inventory_stock (product_id, warehouse_id, on_hand, reserved, committed, unavailable, safety_stock,
    backorder_limit, reorder_point, seq)
SELECT n, w, n %% 50, 0, 0, 0, 0, 0, 5, 1 FROM generate_series(1, {ITEMS}) n, generate_series(1, 2) w
 WHERE w = 1 OR n %% 2 = 0;
INSERT INTO inventory_movement (product_id, warehouse_id, seq, kind, reason, reference, note, created_at,
    on_hand_delta, reserved_delta, committed_delta, unavailable_delta, on_hand, reserved, committed, unavailable)
SELECT 1 + n %% {ITEMS}, 1, 2 + n / {ITEMS}, (ARRAY['ship', 'reserve', 'commit'])[1 + n %% 3], '', '', '',
       now() - n * interval '2.5 seconds', -1, 0, 0, 0, 0, 0, 0, 0 FROM generate_series(1, {MOVEMENTS}) n;
SET session_replication_role = origin;
"""


def main() -> None:
    import django
    from django.conf import settings

    django.setup()
    settings.ALLOWED_HOSTS = ["testserver"]
    from django.contrib.auth import get_user_model
    from django.db import connection
    from django.test import Client

    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute(SEED, [])
        for table in ("movement", "stock", "item"):
            cursor.execute(f"VACUUM ANALYZE inventory_{table}")
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("bench@example.com", "bench"))
    print(f"{ITEMS:,} items, {MOVEMENTS:,} movements; the database's time for a page, median of {ROUNDS}:")
    for name, path in PAGES.items():
        taken, statements = zip(*(database_time(client, path) for _ in range(ROUNDS)), strict=True)
        print(f"  {name:<20}{statistics.median(taken) * 1000:>6.0f} ms in {max(statements)} statements")


def database_time(client: Any, path: str) -> tuple[float, int]:
    """Return for how long the page's statements ran, and how many they were."""
    from django.db import connection

    taken = []

    def measured(execute: Any, *arguments: Any) -> Any:
        started = time.perf_counter()
        try:
            return execute(*arguments)
        finally:
            taken.append(time.perf_counter() - started)

    with connection.execute_wrapper(measured):
        assert client.get(path).status_code == 200
    return sum(taken), len(taken)


if __name__ == "__main__":
    with migrated_server():
        main()
