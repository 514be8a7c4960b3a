"""What do the guards of the ledger cost a checkout? `make bench-ledger`

The reserve statements alone, as `inventory` has them, by pgbench: 8 clients over 1,000 products, prepared, variants
in turns. Once as production commits, and once without syncing to disk, which leaves the work of the CPU.
"""

import statistics

from benchmarks import migrated_server, psql
from benchmarks.catalogue import Scale, fill
from benchmarks.statements import pgbench, reserve

CLIENTS, SECONDS, TURNS, PRODUCTS = 8, 6, 5, 1000

NO_CHAIN = "ALTER TABLE inventory_movement DROP CONSTRAINT inventory_movement_chain;"
NO_HEAD = "ALTER TABLE inventory_stock DROP CONSTRAINT inventory_stock_is_head;"
NO_OF_STOCK = "ALTER TABLE inventory_movement DROP CONSTRAINT inventory_movement_of_stock;"
NO_TRIGGER = "DROP TRIGGER inventory_movement_not_ahead ON inventory_movement;"
NO_BALANCES = "ALTER TABLE inventory_movement DROP CONSTRAINT inventory_movement_balances;"
NO_AS_OF = "DROP INDEX inventory_movement_as_of;"
VARIANTS = {
    "all guards": "",
    "no chain": NO_CHAIN,
    "no head": NO_HEAD,
    "no trigger": NO_TRIGGER,
    "no as-of index": NO_AS_OF,
    "no guards": NO_CHAIN + NO_HEAD + NO_OF_STOCK + NO_TRIGGER + NO_BALANCES,
}


def measure(title: str, **settings: str) -> None:
    with migrated_server(**settings) as url:
        fill(url, Scale(products=PRODUCTS))
        base = url.rsplit("/", 1)[0]
        urls = {variant: f"{base}/v{number}" for number, variant in enumerate(VARIANTS)}
        for variant, statement in VARIANTS.items():
            psql(f"{base}/postgres", f"CREATE DATABASE {urls[variant].rsplit('/', 1)[1]} TEMPLATE shop")
            psql(urls[variant], statement, "VACUUM ANALYZE")
        script = reserve(f"random(1, {PRODUCTS})")
        rates: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
        for _ in range(TURNS):
            for variant, database in urls.items():
                rates[variant].append(pgbench(database, script, clients=CLIENTS, seconds=SECONDS))
        base_rate = statistics.median(rates["all guards"])
        print(f"\n{title}: reserves per second, median of {TURNS} turns")
        for variant, found in rates.items():
            rate = statistics.median(found)
            print(f"  {variant:<16} {rate:8.0f}   {rate / base_rate:5.2f} x", flush=True)


if __name__ == "__main__":
    measure("as production commits")
    measure("without syncing to disk", fsync="off", synchronous_commit="off")
