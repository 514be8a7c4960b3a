"""Does a row of an import take as long whatever the size of the file? `make bench-import-flat`

Imports of several sizes into a shop of 50,000 products in two warehouses. Each is tried as a dry run, applied, and
undone, with the settings that connections have in production, the statement timeout among them. All of it in each mode,
and with each thing that the planner may believe of the staging table: nothing, since nobody has counted its rows; that
it is empty, since they were counted between two imports; that all of them are another import's, whose refused rows were
counted. An autovacuum would count again at a time of its own, so there is none.

What every import costs whatever its size is the time of an import of one row. It is taken off before the rest is
divided by the number of rows. Each time is the shortest of some turns.
"""

import time
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import migrated_server
from benchmarks.catalogue import Scale, fill
from shop.toolkit.callers import SYSTEM

SIZES = (1_000, 5_000, 9_999, 10_001, 20_000, 50_000)
SHOP = Scale(products=50_000, warehouses=2, movements=100_000)
STEPS = ("dry run", "import", "undo")
TIMES_A_SKU = 5  # in a file of changes, each time with another reference

FORGET = "DELETE FROM pg_statistic WHERE starelid = 'inventory_importrow'::regclass"
# After a TRUNCATE the planner knows of no count.
EMPTY = ("TRUNCATE inventory_importrow", FORGET)
OTHERS = """
INSERT INTO inventory_importrow (stock_import_id, line, reason, reference, note, cells, fault_field, fault)
SELECT (SELECT id FROM inventory_stockimport LIMIT 1), n, '', '', '', '["?"]', 'sku', 'there is no such product'
  FROM generate_series(1, 5000) n
"""
BELIEFS = {
    "not counted": EMPTY,
    "counted while empty": (*EMPTY, "VACUUM ANALYZE inventory_importrow"),
    "counted with another's rows": (*EMPTY, OTHERS, "VACUUM ANALYZE inventory_importrow"),
}
Times = dict[str, float]


def content(mode: str, rows: int, turn: int) -> str:
    """Return a file in which every row changes a stock row, each time another way."""
    if mode == "adjust":
        lines = [f"{sku(n // TIMES_A_SKU)},W2,{turn},{n % TIMES_A_SKU}" for n in range(rows)]
        return "\n".join(["sku,warehouse,quantity,reference", *lines, ""])
    return "\n".join(["sku,warehouse,quantity", *(f"{sku(n)},W2,{1_000 + turn}" for n in range(rows)), ""])


def sku(number: int) -> str:
    return f"SKU-{number % SHOP.products + 1:07}"


def main(modes: Sequence[str], sizes: Sequence[int], turns: int) -> None:
    with migrated_server(autovacuum="off", max_wal_size="4GB", checkpoint_timeout="30min") as url:
        fill(url, SHOP)
        print(f"{SHOP}; microseconds for a row, without what an import of one row takes, and slowest / fastest")
        with TemporaryDirectory(prefix="shop-bench-") as folder:
            path = Path(folder) / "levels.csv"
            measure = measurement(path)
            measure("set", 1_000, 0)  # nobody's first steps count
            numbers = count(1)
            for mode in modes:
                for belief, statements in BELIEFS.items():
                    found: dict[int, list[Times]] = {size: [] for size in (1, *sizes)}
                    for _ in range(turns):
                        for size, times in found.items():
                            execute(*statements)
                            times.append(measure(mode, size, next(numbers)))
                    show(f"{mode}, {belief}", {size: shortest(times) for size, times in found.items()})


def measurement(path: Path) -> Callable[[str, int, int], Times]:
    """Return what loads a file of so many rows, and says how long each step took."""
    import django

    django.setup()
    from django.db import OperationalError

    from inventory import services as inventory
    from inventory.imports import staging, steps
    from shop.toolkit.db import transactions
    from shop.toolkit.ids import new_id

    limits = staging.FileLimits(1 << 30, 1_000_000)

    def load(mode: str, *, dry_run: bool) -> inventory.StockImport:
        request = staging.ImportRequest(file_name=path.name, mode=mode, dry_run=dry_run, on_error="skip")
        document = transactions.run(
            lambda: staging.stage_import(request, import_id=new_id(), path=path, limits=limits, caller=SYSTEM)
        )
        return inventory.finish_import(document.id, on_step=lambda _: None)

    def undo(document: inventory.StockImport) -> None:
        transactions.run(lambda: steps.undo_import(document.id, undo_id=new_id(), caller=SYSTEM))
        done = inventory.finish_import(document.id, on_step=lambda _: None)
        assert done.status == "undone", done

    def measure(mode: str, size: int, turn: int) -> Times:
        path.write_text(content(mode, size, turn))
        taken: Times = {}
        started = time.perf_counter()
        checked = load(mode, dry_run=True)
        taken["dry run"] = time.perf_counter() - started
        started = time.perf_counter()
        applied = load(mode, dry_run=False)
        taken["import"] = time.perf_counter() - started
        assert checked.changed == applied.changed == size, (checked, applied)
        started = time.perf_counter()
        try:
            undo(applied)
        except OperationalError:  # the statement timeout
            taken["undo"] = float("inf")
        else:
            taken["undo"] = time.perf_counter() - started
        return taken

    return measure


def shortest(times: Sequence[Times]) -> Times:
    return {step: min(taken[step] for taken in times) for step in STEPS}


def execute(*statements: str) -> None:
    """Run statements one by one, for as long as they take."""
    from django.db import connection

    with connection.cursor() as cursor:
        for statement in ("SET statement_timeout = 0", *statements, "RESET statement_timeout"):
            cursor.execute(statement)


def show(title: str, found: dict[int, Times]) -> None:
    sizes = [size for size in found if size > 1]
    print(f"\n{title:<36}" + "".join(f"{size:>9,}" for size in sizes) + "    ratio")
    for step in STEPS:
        rows = {size: (found[size][step] - found[1][step]) * 1e6 / size for size in sizes}
        cells = "".join("  timeout" if row == float("inf") else f"{row:>9.0f}" for row in rows.values())
        print(f"  {step:<34}{cells}{max(rows.values()) / min(rows.values()):>9.1f}", flush=True)


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--modes", nargs="+", default=["set", "count", "adjust"])
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES)
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    main(options.modes, options.sizes, options.turns)
