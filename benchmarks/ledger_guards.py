"""What do the guards of the ledger cost a checkout? `make bench-ledger`

The reserve statements alone, as `inventory/sql` has them, by pgbench: 8 clients over 1,000 products, prepared, variants
in turns. Once as production commits, and once without syncing to disk, which leaves the work of the CPU.
"""

import re
import statistics
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import unquote

from benchmarks import migrated_server
from shop import embedded

CLIENTS, SECONDS, TURNS, PRODUCTS = 8, 6, 5, 1000

SEED = f"""
INSERT INTO inventory_item (product_id, sku, name, is_active, created_at)
SELECT n, 'S' || n, 'P', true, now() FROM generate_series(1, {PRODUCTS}) n;
INSERT INTO inventory_stock (product_id, warehouse_id, on_hand, reserved, committed, unavailable, safety_stock,
    backorder_limit, reorder_point, seq)
SELECT n, 1, 10000000, 0, 0, 0, 0, 0, 0, 1 FROM generate_series(1, {PRODUCTS}) n;
INSERT INTO inventory_movement (product_id, warehouse_id, seq, kind, reason, reference, note, created_at,
    on_hand_delta, reserved_delta, committed_delta, unavailable_delta, on_hand, reserved, committed, unavailable)
SELECT n, 1, 1, 'receive', 'received', '', '', now(), 10000000, 0, 0, 0, 10000000, 0, 0, 0
  FROM generate_series(1, {PRODUCTS}) n;
"""
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


def script() -> str:
    """Return the statements of a one-line reserve for pgbench, taken from the code that runs them."""
    from inventory.sql._reservations import OPEN_RESERVATION
    from inventory.sql._stock import LOCK_STOCK, POST_MOVEMENTS

    def filled(statement: str, *values: str) -> str:
        for value in values:
            statement = statement.replace("%s", value, 1)
        assert "%s" not in statement
        return statement.strip() + ";"

    product, one, none = "ARRAY[:p]::bigint[]", "ARRAY[1]", "ARRAY[0]"
    reservation = "md5(:client_id || ':' || :n || ':' || :salt)::uuid"
    hold = (reservation, f"{reservation}::text", "1", "interval '15 min'", reservation, product, one, one)
    movement = (product, one, none, one, none, none, "ARRAY['r']", "'reserve'", "''", "1", "''")
    return "\n".join(
        [
            f"\\set p random(1, {PRODUCTS})",
            "\\set n random(1, 9000000000000000)",
            "\\set salt random(1, 9000000000000000)",
            "BEGIN;",
            filled(LOCK_STOCK, product),
            filled(OPEN_RESERVATION, *hold),
            filled(POST_MOVEMENTS, *movement),
            "COMMIT;",
        ]
    )


def measure(title: str, **settings: str) -> None:
    with migrated_server(**settings) as url, TemporaryDirectory(prefix="shop-bench-") as folder:
        host = unquote(url.split("@")[1].rsplit("/", 1)[0])
        server = ["-h", host, "-U", embedded.SUPERUSER]
        path = Path(folder) / "reserve.sql"
        path.write_text(script())

        def psql(database: str, statement: str) -> None:
            subprocess.run(
                [embedded.BIN / "psql", *server, "-q", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", statement],
                check=True,
            )

        psql("shop", SEED)
        names = {variant: f"v{number}" for number, variant in enumerate(VARIANTS)}
        for variant, statement in VARIANTS.items():
            psql("postgres", f"CREATE DATABASE {names[variant]} TEMPLATE shop")
            psql(names[variant], statement)
            psql(names[variant], "VACUUM ANALYZE")
        rates: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
        for _ in range(TURNS):
            for variant, name in names.items():
                rates[variant].append(pgbench(server, path, name))
        base = statistics.median(rates["all guards"])
        print(f"\n{title}: reserves per second, median of {TURNS} turns")
        for variant, found in rates.items():
            print(
                f"  {variant:<16} {statistics.median(found):8.0f}   {statistics.median(found) / base:5.2f} x",
                flush=True,
            )


def pgbench(server: list[str], path: Path, database: str) -> float:
    load = ["-n", "-M", "prepared", "-f", path, "-c", str(CLIENTS), "-j", "2", "-T", str(SECONDS)]
    program = embedded.BIN / "pgbench"
    done = subprocess.run([program, *server, *load, database], capture_output=True, text=True, check=False)
    found = re.search(r"tps = ([\d.]+)", done.stdout)
    if not found or "aborted" in done.stderr:
        sys.exit(done.stderr)
    return float(found[1])


if __name__ == "__main__":
    measure("as production commits")
    measure("without syncing to disk", fsync="off", synchronous_commit="off")
