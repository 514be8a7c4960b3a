"""What an import does for a row is the same for any number of rows, whatever the planner believes of the staging table.

It believes what was there when somebody last counted, which may be nothing, or the refused rows of another import.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection

from inventory.imports import sql as imports_sql
from inventory.imports import sql_staging, steps
from shop import settings
from shop.toolkit.callers import User
from shop.toolkit.db import transactions
from tests import factories
from tests.conftest import fetch
from tests.factories import sell
from tests.inventory.imports import finished, loaded, staged, undone
from tests.stock_rows import assert_books_are_right

# Thousands of rows, and plans that were made for few: a new shop has neither.
pytestmark = pytest.mark.usefixtures("new_tables")

OVER_ALL_ROWS = (
    imports_sql.CHECK["set"],
    sql_staging.RETRY_REFUSED,
    sql_staging.STAGE_UNDO,
    sql_staging.DROP_ROWS,
)
ORDINARY = settings.CONNECTION_SETTINGS["statement_timeout"]
ROWS = 1_000
# Rows that come out of all nodes of a plan, or are thrown away in them, for each row of the import: 15 where each is
# looked up by its key. Where all of a chunk are read again for each of them it is a quarter of ROWS.
MOST_WORK = 40

CATALOGUE = """
INSERT INTO products_product (sku, sku_key, name, description, price, currency, is_active, created_at, updated_at)
SELECT 'S' || n, 's' || n, 'P', '', 1, 'EUR', true, now(), now() FROM generate_series(0, %s - 1) n;
INSERT INTO inventory_item (product_id, sku, sku_key, name, is_active, created_at)
SELECT id, sku, sku_key, name, true, now() FROM products_product;
ANALYZE products_product, inventory_item, inventory_stock, inventory_movement
"""


def level(rows: int, units: int) -> str:
    return "sku,quantity\n" + "".join(f"S{number},{units}\n" for number in range(rows))


def changes(rows: int, units: int) -> str:
    lines = (f"S{number // 4},{units},{number % 4}\n" for number in range(rows))
    return "sku,quantity,reference\n" + "".join(lines)


def open_shop(products: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(CATALOGUE, [products])


def count_staged_rows() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE inventory_importrow")


def count_rows_of_another() -> None:
    """Have all rows that the planner knows of belong to one import, and be refused."""
    another = loaded("sku,quantity\n" + "".join(f"NONE-{number},1\n" for number in range(ROWS)))
    assert another.refused == ROWS
    count_staged_rows()


@contextmanager
def work_of_plans() -> Iterator[dict[str, int]]:
    """Count the rows that each statement on staged rows goes through; each is run twice, once to be taken back."""
    most: dict[str, int] = {}

    def counted(execute: Any, statement: str, parameters: Any, many: bool, context: Any) -> Any:
        if "inventory_importrow" in statement and not statement.startswith("ANALYZE"):
            with connection.connection.transaction(force_rollback=True), connection.connection.cursor() as cursor:
                cursor.execute(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {statement}", parameters)
                (((explained,),),) = cursor.fetchall()
            most[statement] = max(most.get(statement, 0), rows_through(explained["Plan"]))
        return execute(statement, parameters, many, context)

    with connection.execute_wrapper(counted):
        yield most


def rows_through(node: dict[str, Any]) -> int:
    """Return how many rows come out of a node and those below it, or are thrown away there."""
    each = sum(count for name, count in node.items() if name == "Actual Rows" or name.startswith("Rows Removed"))
    return round(each * node["Actual Loops"]) + sum(rows_through(below) for below in node.get("Plans", ()))


@pytest.mark.parametrize("believe", [count_staged_rows, count_rows_of_another], ids=["there are none", "all another's"])
@pytest.mark.parametrize(
    "mode", [pytest.param("set", marks=pytest.mark.long), pytest.param("count", marks=pytest.mark.long), "adjust"]
)
def test_no_statement_goes_through_the_staged_rows_again_for_each_of_them(database, monkeypatch, mode, believe):
    monkeypatch.setattr(steps, "CHUNK_ROWS", ROWS // 2)
    open_shop(ROWS)
    believe()
    text = changes(ROWS, 2) if mode == "adjust" else level(ROWS, 8)
    opened = ROWS // 4 if mode == "adjust" else ROWS

    with work_of_plans() as most:
        dry_run = loaded(text, mode=mode, dry_run=True)
        done = loaded(text, mode=mode)
        loaded(level(opened // 2, 0))
        undo = undone(done)
        loaded(level(opened // 2, 8), again=True)
        undo_again = undone(done)

    assert (dry_run.new, dry_run.refused, done.new) == (opened, 0, opened)
    assert (undo.changed, undo.refused) == (opened - opened // 2, opened // 2)
    assert (undo_again.changed, undo_again.refused) == (opened, 0)
    assert len(most) > 10
    assert [statement for statement, rows in most.items() if rows > MOST_WORK * ROWS] == []
    assert_books_are_right()


def test_a_statement_over_all_rows_of_an_import_has_the_time_that_it_needs(database, monkeypatch):
    monkeypatch.setattr(steps, "CHUNK_ROWS", 1)
    mug, pot = factories.product(sku="MUG", stock=1), factories.product(sku="POT", stock=1)
    allowed: dict[str, set[str]] = {}

    def noted(execute: Any, statement: str, *arguments: Any) -> Any:
        if statement in OVER_ALL_ROWS:
            ((timeout,),) = fetch("SHOW statement_timeout")
            allowed.setdefault(statement, set()).add(timeout)
        return execute(statement, *arguments)

    with connection.execute_wrapper(noted):
        reviewed = loaded("sku,quantity\nMUG,9\nNONE,9\n", dry_run=True, review=True, on_error="skip")
        transactions.run(lambda: steps.approve_import(reviewed.id, caller=User(7)))
        approved = finished(reviewed)
        sell(mug.id, 5)
        undone(approved)
        undo = undone(approved)

        wrong = staged("sku,quantity,expected_on_hand\nMUG,9,4\nPOT,9,1\n")
        for _ in range(2):  # the check, and the first chunk
            transactions.run(lambda: steps.advance_import(wrong.id))
        sell(pot.id, 1)
        aborted = finished(wrong)

    assert (approved.status, undo.refused, aborted.status) == ("applied", 1, "aborted")
    # The rows of what was applied to its end are gone by then.
    allowed[sql_staging.DROP_ROWS].remove(ORDINARY)
    assert allowed == {statement: {"0"} for statement in OVER_ALL_ROWS}


@pytest.mark.long
def test_a_large_import_is_undone_within_the_ordinary_timeout_of_a_statement(database):
    rows = 20_000
    open_shop(rows)
    count_rows_of_another()
    done = loaded(level(rows, 8))
    assert fetch("SHOW statement_timeout") == [(ORDINARY,)]

    undo = undone(done)

    assert (undo.status, undo.changed, undo.refused) == ("applied", rows, 0)
    assert fetch("SELECT sum(on_hand) FROM inventory_stock") == [(0,)]
