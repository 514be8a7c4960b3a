"""How long does the database take for the first page of the staff? `make bench-dashboard`

100,000 items in one or two warehouses each, 1,000,000 movements, a third of them sales of the last 30 days.
"""

import statistics
import time

from benchmarks import migrated_server

ITEMS, MOVEMENTS, ROUNDS = 100_000, 1_000_000, 15

SEED = f"""
INSERT INTO inventory_warehouse (code, name, priority, is_active) VALUES ('EAST', '', 200, true);
INSERT INTO inventory_item (product_id, sku, name, is_active, created_at)
SELECT n, 'S' || n, 'P', true, now() FROM generate_series(1, {ITEMS}) n;
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

    django.setup()
    from django.db import connection

    from inventory import services as inventory

    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute(SEED, [])
        cursor.execute("VACUUM ANALYZE inventory_movement")
        cursor.execute("VACUUM ANALYZE inventory_stock")
        cursor.execute("VACUUM ANALYZE inventory_item")
    total = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        inventory.stock_health()
        middle = time.perf_counter()
        inventory.sales()
        total.append((middle - started, time.perf_counter() - middle))
    health, sales = (statistics.median(column) * 1000 for column in zip(*total, strict=True))
    print(f"{ITEMS:,} items, {MOVEMENTS:,} movements: health {health:.0f} ms, sales {sales:.0f} ms, median of {ROUNDS}")


if __name__ == "__main__":
    with migrated_server():
        main()
