"""The rules that keep the door to a distributed PostgreSQL open; docs/scaling.md says what exceptions would cost."""

import re

from benchmarks import ROOT
from tests.conftest import fetch

SCALING = (ROOT / "docs" / "scaling.md").read_text()
APPS = ("shop", "users", "products", "inventory", "orders")
# Spread by this column; everything else is small enough to be everywhere, or is asked in one place alone.
BY_PRODUCT = {"inventory_stock", "inventory_movement", "inventory_reservationline"}
BY_ORDER = {"orders_order": "id", "orders_orderline": "order_id", "orders_orderevent": "order_id"}
COLUMNS = {**dict.fromkeys(BY_PRODUCT, "product_id"), **BY_ORDER}
WITHOUT_IT = {"orders_number_unique", "orders_order_reservation_id_key"}
# A table everywhere may be referred to; these lead from one kind of spread table to another, or to one that is not.
ACROSS = {"inventory_reservationline -> inventory_reservation"}

UNIQUE = """
SELECT t.relname, i.relname, array_agg(a.attname)
  FROM pg_index x JOIN pg_class t ON t.oid = x.indrelid JOIN pg_class i ON i.oid = x.indexrelid
  JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = ANY(x.indkey)
 WHERE x.indisunique AND t.relname = ANY(%s) GROUP BY t.relname, i.relname
"""
FOREIGN = """
SELECT DISTINCT one.relname, other.relname
  FROM pg_constraint c JOIN pg_class one ON one.oid = c.conrelid JOIN pg_class other ON other.oid = c.confrelid
 WHERE c.contype = 'f' AND (one.relname = ANY(%s) OR other.relname = ANY(%s))
"""
COUNTED = """
SELECT table_name FROM information_schema.columns
 WHERE table_name = ANY(%s) AND (is_identity = 'YES' OR column_default LIKE 'nextval%%')
"""


def sources(*folders: str) -> dict[str, str]:
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    return {str(path.relative_to(ROOT)): path.read_text() for path in paths}


def test_whatever_is_unique_contains_the_column_that_its_table_is_spread_by(database):
    found = fetch(UNIQUE, list(COLUMNS))
    assert {table for table, _, _ in found} == set(COLUMNS)
    assert {index for table, index, columns in found if COLUMNS[table] not in columns} == WITHOUT_IT


def test_foreign_keys_stay_within_what_is_spread_together(database):
    small = {"inventory_item", "inventory_warehouse", "products_product", "users_user"}
    across = {
        f"{one} -> {other}"
        for one, other in fetch(FOREIGN, list(COLUMNS), list(COLUMNS))
        if other not in small and not ({one, other} <= BY_PRODUCT or {one, other} <= set(BY_ORDER))
    }
    assert across == ACROSS


def test_no_counter_is_asked_for_a_key(database):
    assert fetch(COUNTED, [*COLUMNS, "inventory_reservation"]) == []


def test_a_trigger_stands_in_a_migration_of_its_own():
    migrations = {path: text for path, text in sources(*APPS).items() if "/migrations/" in path}
    with_triggers = [text for text in migrations.values() if "CREATE TRIGGER" in text]
    assert len(with_triggers) == 3
    for text in with_triggers:
        assert (
            re.findall(r"CreateModel|AddField|AlterField|AddConstraint|AddIndex|ALTER TABLE|CREATE TABLE", text) == []
        )


def test_rows_of_several_products_are_locked_in_one_place():
    statement = re.compile(r'^([A-Z_]+) = f?"""(.*?)"""', re.MULTILINE | re.DOTALL)
    locking = {
        name: path
        for path, text in sources(*APPS).items()
        for name, body in statement.findall(text)
        if re.search(r"FOR NO KEY UPDATE OF s\b", body)
    }
    assert set(locking.values()) == {
        "inventory/stock/sql.py",
        "inventory/stock/sql_claims.py",
        "inventory/imports/sql.py",
    }
    (row,) = re.findall(r"^\| (`LOCK_STOCK`[^|]+) \|", SCALING, re.MULTILINE)
    assert set(re.findall("`(.+?)`", row)) == set(locking)


def test_the_page_names_each_exception():
    for name in (*WITHOUT_IT, *(table for pair in ACROSS for table in pair.split(" -> "))):
        assert f"`{name}`" in SCALING


def test_nothing_is_used_that_a_distributed_database_refuses():
    business = {path: code(text) for path, text in sources("users", "products", "inventory", "orders").items()}
    refused = r"\bMERGE INTO\b|pg_(try_)?advisory|\bLISTEN\b|\bNOTIFY\b|pg_notify"
    assert [path for path, text in business.items() if re.search(refused, text)] == []


def code(text: str) -> str:
    return re.sub(r"#.*", "", text)
