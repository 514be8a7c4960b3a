"""How fast is a large import, beside the bare work that it cannot do without? `make bench-import`

The same file of SKUs x 10 warehouses, once into empty stock and once changing every row, loaded in turns: by the bare
work (`\\copy` into a staging table, then one statement that merges it and writes the ledger; no check, no chunks, no
document, every row locked until the end) and by `manage.py import_stock`, each on its own copy of the same database.
Then once more, while buyers check out over HTTP.
"""

import csv
import os
import random
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from benchmarks import ROOT, migrated_server, production_server, psql

WAREHOUSES = 10

SEED = """
INSERT INTO inventory_warehouse (code, name, priority, is_active)
SELECT 'W' || n, '', 100 + n, true FROM generate_series(0, {warehouses} - 1) n;
INSERT INTO products_product (id, sku, sku_key, name, description, price, currency, is_active, created_at, updated_at)
SELECT n, 'SKU-' || lpad(n::text, 7, '0'), 'sku-' || lpad(n::text, 7, '0'), 'Product ' || n, '', 1,
       'EUR', true, now(), now()
  FROM generate_series(1, {skus}) n;
INSERT INTO inventory_item (product_id, sku, sku_key, name, is_active, created_at)
SELECT id, sku, sku_key, name, true, now() FROM products_product;
"""
STAGING = "CREATE TABLE bare (sku text, warehouse text, quantity int, expected_on_hand int);"
BARE = """
WITH row AS (
    SELECT i.product_id, w.id AS warehouse_id, b.quantity, s.on_hand, s.seq FROM bare b
      JOIN inventory_item i USING (sku) JOIN inventory_warehouse w ON w.code = b.warehouse
      LEFT JOIN inventory_stock s ON s.product_id = i.product_id AND s.warehouse_id = w.id
), opened AS (
    INSERT INTO inventory_stock (product_id, warehouse_id, on_hand, reserved, committed, unavailable, safety_stock,
        backorder_limit, reorder_point, seq)
    SELECT product_id, warehouse_id, quantity, 0, 0, 0, 0, 0, 0, 1 FROM row WHERE seq IS NULL
    RETURNING product_id, warehouse_id, seq, on_hand, reserved, committed, unavailable
), head AS (
    UPDATE inventory_stock s SET on_hand = r.quantity, seq = s.seq + 1 FROM row r
     WHERE r.seq IS NOT NULL AND s.product_id = r.product_id AND s.warehouse_id = r.warehouse_id
    RETURNING s.product_id, s.warehouse_id, s.seq, s.on_hand, s.reserved, s.committed, s.unavailable
)
INSERT INTO inventory_movement (product_id, warehouse_id, seq, on_hand_delta, reserved_delta, committed_delta,
    unavailable_delta, on_hand, reserved, committed, unavailable, kind, reason, reference, note, created_at)
SELECT h.product_id, h.warehouse_id, h.seq, h.on_hand - COALESCE(r.on_hand, 0), 0, 0, 0, h.on_hand, h.reserved,
       h.committed, h.unavailable, 'adjust', 'import', '', '', (SELECT clock_timestamp())
  FROM (SELECT * FROM head UNION ALL SELECT * FROM opened) h JOIN row r USING (product_id, warehouse_id);
TRUNCATE bare;
"""


def write_file(path: Path, skus: int, *, turn: int) -> None:
    """Write what every row is to be, and what the turn before has left."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["sku", "warehouse", "quantity", "expected_on_hand"])
        for number in range(1, skus + 1):
            for place in range(WAREHOUSES):
                level = 10 + (number * 7 + place) % 90
                writer.writerow([f"SKU-{number:07}", f"W{place}", level + turn, level + turn - 1 if turn else ""])


def main(skus: int) -> None:
    with migrated_server() as url, TemporaryDirectory(prefix="shop-bench-") as folder:
        base = url.rsplit("/", 1)[0]
        psql(url, SEED.format(warehouses=WAREHOUSES, skus=skus), "VACUUM ANALYZE")
        for name in ("bare", "ours"):
            psql(f"{base}/postgres", f"CREATE DATABASE {name} TEMPLATE shop")
        psql(f"{base}/bare", STAGING)
        os.environ["DATABASE_URL"] = f"{base}/ours"
        print(f"{skus * WAREHOUSES:,} rows ({skus:,} SKUs x {WAREHOUSES} warehouses)")
        for turn, title in enumerate(("into empty stock", "changing every row")):
            path = Path(folder) / f"{turn}.csv"
            write_file(path, skus, turn=turn)
            started = time.monotonic()
            psql(f"{base}/bare", f"\\copy bare FROM '{path}' CSV HEADER", BARE)
            bare = time.monotonic() - started
            ours, memory = finished(load(path))
            figures = f"bare {bare:7.1f} s   import_stock {ours:7.1f} s   {ours / bare:5.2f} x   peak {memory:.0f} MB"
            print(f"  {title:<20} {figures}", flush=True)
        path = Path(folder) / "2.csv"
        write_file(path, skus, turn=2)
        sales_meanwhile(path, skus)
        verified = subprocess.run([*MANAGE, "verify_stock"], cwd=ROOT, capture_output=True, text=True, check=False)
        print("  " + (verified.stdout + verified.stderr).strip().splitlines()[-1])


MANAGE = [sys.executable, "manage.py"]
Loading = tuple["subprocess.Popen[bytes]", float]


def load(path: Path) -> Loading:
    """Start the command as an operator does."""
    command = [*MANAGE, "import_stock", str(path)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL), time.monotonic()


def finished(loading: Loading) -> tuple[float, float]:
    """Wait for the command; return its seconds and its peak memory in MB."""
    process, started = loading
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = status
    if status:
        sys.exit(f"import_stock ended with {status}")
    return time.monotonic() - started, usage.ru_maxrss / 1024


def sales_meanwhile(path: Path, skus: int) -> None:
    """Sell one unit of random products at a steady rate over HTTP, before an import and while it runs."""
    with production_server() as shop:
        client = buyer(f"{shop}/api/v1")
        sell(client, skus, until=lambda seconds: seconds > 5)  # nobody's first steps count
        quiet = sell(client, skus, until=lambda seconds: seconds > QUIET_SECONDS)
        process, started = load(path)
        busy = sell(client, skus, until=lambda _: process.poll() is not None)
        if process.returncode:
            sys.exit(f"import_stock ended with {process.returncode}")
        print(f"  {RATE} checkouts a second, meanwhile an import of {time.monotonic() - started:.0f} s")
        for name, found in (("quiet", quiet), ("import", busy)):
            latencies = sorted(seconds for seconds, _ in found)
            p50, p99 = latencies[len(latencies) // 2], latencies[len(latencies) * 99 // 100]
            errors = sum(status >= 500 for _, status in found)
            print(
                f"    {name:<8} {len(found):6} sold   p50 {p50 * 1e3:6.1f} ms   p99 {p99 * 1e3:6.1f} ms   5xx {errors}"
            )


RATE, BUYERS, QUIET_SECONDS = 40, 4, 30
Sales = list[tuple[float, int]]


def buyer(base: str) -> httpx.Client:
    """Return a client that is logged in."""
    client = httpx.Client(base_url=base, timeout=30)
    account = {"email": "buyer@example.com", "password": "nine lives of a cat"}
    client.post("/users", json={**account, "name": "Buyer"})
    client.headers["authorization"] = "Bearer " + client.post("/auth/token", json=account).json()["access"]
    return client


def sell(client: httpx.Client, skus: int, *, until: Callable[[float], bool]) -> Sales:
    """Check out at RATE from BUYERS threads; return latency and status of each."""
    started, sales = time.monotonic(), list[tuple[float, int]]()

    def buy(number: int) -> None:
        for turn in count():
            due = started + (turn * BUYERS + number) / RATE
            time.sleep(max(0, due - time.monotonic()))
            if until(time.monotonic() - started):
                return
            begun = time.monotonic()
            body = {"items": [{"product_id": random.randint(1, skus), "quantity": 1}]}
            status = client.post("/orders", json=body).status_code
            sales.append((time.monotonic() - begun, status))

    with ThreadPoolExecutor(BUYERS) as pool:
        for future in [pool.submit(buy, number) for number in range(BUYERS)]:
            future.result()
    return sales


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--skus", type=int, default=100_000)
    main(parser.parse_args().skus)
