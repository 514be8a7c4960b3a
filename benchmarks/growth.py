"""Does the shop stay as fast when it grows? `make bench-growth`

1,000 products and 1,000,000, each in ten warehouses, with a ledger of one movement for each stock row at least, in one
PostgreSQL: each served by its own production server, measured in turns. Then how long its pages take to read, and what
takes the room.
"""

import os
import statistics
import subprocess
import sys
import time
from argparse import ArgumentParser
from contextlib import ExitStack

import httpx

from benchmarks import ROOT, migrated_server, psql
from benchmarks.catalogue import Scale, fill
from benchmarks.speed import ACCOUNT, CASES, Bench

SMALL, LARGE = Scale(1_000, 10, 10_000), Scale(1_000_000, 10, 10_000_000)
NAMES = ("checkout, 1 line", "checkout, 20 lines", "check", "check, 20 lines")
PAGES = {
    "products": "/api/v1/products",
    "products, by price": "/api/v1/products?ordering=-price",
    "items": "/api/v1/inventory/items",
    "an item": "/api/v1/inventory/items/777",
    "its movements": "/api/v1/inventory/items/777/movements",
    "what holds it": "/api/v1/inventory/items/777/explain",
    "orders": "/api/v1/orders",
}
DEEP = 15  # pages that are turned by the cursor before one is measured
READS = 40

SIZES = """
SELECT relname, to_char(reltuples, 'FM999,999,999') AS rows, pg_size_pretty(pg_table_size(oid)) AS "table",
       pg_size_pretty(pg_indexes_size(oid)) AS indexes
  FROM pg_class WHERE relkind = 'r' AND pg_total_relation_size(oid) > 50e6 ORDER BY pg_total_relation_size(oid) DESC
"""


def main(rounds: int, seconds: int, large: Scale, buffers: str) -> None:
    scales = {"small": SMALL, "large": large}
    cases = [case for case in CASES if case.name in NAMES]
    rates: dict[str, dict[str, list[float]]] = {}
    with (
        migrated_server(max_wal_size="4GB", checkpoint_timeout="30min", shared_buffers=buffers) as url,
        ExitStack() as servers,
    ):
        base = url.rsplit("/", 1)[0]
        benches = {}
        for name, scale in scales.items():
            started = time.monotonic()
            psql(f"{base}/postgres", f"CREATE DATABASE {name} TEMPLATE shop")
            fill(f"{base}/{name}", scale)
            print(f"{name}: {scale}, filled in {time.monotonic() - started:.0f} s", flush=True)
            os.environ["DATABASE_URL"] = f"{base}/{name}"
            make_staff()
            benches[name] = Bench(f"{base}/{name}", scale, servers)
        for turn in range(rounds + 1):
            for case in cases:
                for name, bench in benches.items():
                    rate = bench.measure(case, seconds=seconds if turn else 1).rate
                    if turn:  # nobody's first steps count
                        rates.setdefault(case.name, {}).setdefault(name, []).append(rate)
            print(f"turn {turn} of {rounds}", flush=True)
        print(f"\n{'a second':<28}{'small':>10}{'large':>10}{'large/small':>14}")
        for case_name, found in rates.items():
            row(case_name, statistics.median(found["small"]), statistics.median(found["large"]))
        print(f"\n{'milliseconds':<28}{'small':>10}{'large':>10}{'large/small':>14}")
        clients = {name: staff_client(bench.shop) for name, bench in benches.items()}
        for page, path in PAGES.items():
            row(page, *(read(client, path) for client in clients.values()))
        for page in ("products", "products, by price", "items"):
            deep = [read(client, turned(client, PAGES[page])) for client in clients.values()]
            row(f"{page}, {DEEP} pages on", *deep)
        psql(f"{base}/large", SIZES)


def row(name: str, small: float, large: float) -> None:
    """Print a line of a table."""
    print(f"{name:<28}{small:>10.1f}{large:>10.1f}{large / small:>14.2f}", flush=True)


def make_staff() -> None:
    """Make the member of staff who reads the lists."""
    environment = {**os.environ, "DJANGO_SUPERUSER_EMAIL": "staff@example.com"}
    environment["DJANGO_SUPERUSER_PASSWORD"] = ACCOUNT["password"]
    command = [sys.executable, "manage.py", "createsuperuser", "--noinput", "--email", "staff@example.com"]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)


def staff_client(base: str) -> httpx.Client:
    """Return a client that is signed in as staff."""
    client = httpx.Client(base_url=base, timeout=30)
    login = {**ACCOUNT, "email": "staff@example.com"}
    client.headers["authorization"] = "Bearer " + client.post("/api/v1/auth/token", json=login).json()["access"]
    return client


def turned(client: httpx.Client, path: str) -> str:
    """Return the address of the page DEEP pages after the first."""
    for _ in range(DEEP):
        path = client.get(path).json()["next"]
    return path


def read(client: httpx.Client, path: str) -> float:
    """Return the median milliseconds of a read."""
    taken = []
    for _ in range(READS):
        started = time.perf_counter()
        client.get(path).raise_for_status()
        taken.append((time.perf_counter() - started) * 1000)
    return statistics.median(taken)


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--products", type=int, default=LARGE.products)
    parser.add_argument("--shared-buffers", default="128MB", help="of PostgreSQL")
    given = parser.parse_args()
    main(given.rounds, given.seconds, Scale(given.products, 10, given.products * 10), given.shared_buffers)
