"""Which text is a SKU, and when two of them are one: by the API, in files, and for products that were there before."""

import io
import unicodedata

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from hypothesis import given
from hypothesis import strategies as st

from inventory import services as inventory
from inventory.stock import items
from shop.toolkit.callers import SYSTEM
from shop.toolkit.skus import INVISIBLE, NOT_CLEAN, fault_of, from_cell, normal, sku_key
from tests import factories
from tests.conftest import fetch
from tests.inventory.imports import loaded

PATH = "/api/v1/products"


def create(staff, sku: str):
    return staff.post(PATH, {"sku": sku, "name": "Mug", "price": "1.00"})


UNSEEN = (
    "A\u200bB", "A\u00adB", "\ufeffAB", "A\tB", "A\u00a0B", "A  B", "A\u2028B", "A\u202eB", "A\x7fB", "A\U000e0041B",
    "A\ufe0fB", "A\u3164B", "A\u2800B",
)  # fmt: skip


@pytest.mark.parametrize("sku", UNSEEN)
def test_the_api_refuses_what_nobody_sees(staff, sku):
    answer = create(staff, sku)

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "sku"
    assert fetch("SELECT count(*) FROM products_product") == [(0,)]


@pytest.mark.parametrize(("first", "second"), [("MUG-1", "mug-1"), ("Straße", "STRASSE"), ("é", "e\u0301"), ("Σ", "ς")])
def test_two_spellings_of_one_sku_are_one(staff, first, second):
    made = create(staff, first)

    assert made.json()["sku"] == normal(first)
    assert create(staff, second).json()["code"] == "sku_exists"
    assert items.find_item(second).product_id == made.json()["id"]


def test_single_spaces_inside_are_allowed_and_the_spelling_may_change(staff):
    made = create(staff, "Big Mug 2").json()

    assert made["sku"] == "Big Mug 2"
    assert staff.patch(f"{PATH}/{made['id']}", {"sku": "BIG MUG 2"}).json()["sku"] == "BIG MUG 2"
    assert fetch("SELECT sku, sku_key FROM inventory_item") == [("BIG MUG 2", "big mug 2")]


@given(st.text(max_size=80))
def test_a_key_is_the_same_for_each_spelling(text):
    assert sku_key(normal(text)) == sku_key(text) == sku_key(sku_key(text))
    tidied = from_cell(text)
    assert from_cell(tidied) == tidied
    if fault_of(tidied) is None:
        assert sku_key(tidied) == sku_key(normal(tidied))


def test_python_and_the_database_call_the_same_characters_invisible(database):
    letters = [chr(code) for code in range(1, 0x20000) if not 0xD800 <= code < 0xE000]

    seen = fetch("SELECT letter FROM unnest(%s::text[]) AS letter WHERE letter ~ %s", letters, INVISIBLE)

    assert {letter for (letter,) in seen} == {letter for letter in letters if fault_of(f"A{letter}B")}
    kinds = {unicodedata.category(letter) for (letter,) in seen}
    assert kinds == {"Cc", "Cf", "Zl", "Zp", "Zs", "Lo", "Mn", "So"}
    spaced = fetch("SELECT x FROM unnest(%s::text[]) AS x WHERE x ~ %s", ["A", " A", "A ", "A  B", "A B"], NOT_CLEAN)
    assert spaced == [(" A",), ("A ",), ("A  B",)]


def test_a_file_leaves_out_what_nobody_sees_and_says_so(database):
    product = factories.product(sku="MUG-1", stock=1)

    document = loaded("sku,quantity\n\u200bmug\u00ad\ufe0f-1,7\n")

    assert (document.changed, document.refused) == (1, 0)
    assert "1 SKU had invisible characters" in document.understood_as
    assert inventory.get_item(product.id, caller=SYSTEM).on_hand == 7


def test_a_file_of_products_too(database, tmp_path):
    factories.product(sku="MUG")
    path = tmp_path / "products.csv"
    path.write_text("sku,name,price\nmug,Other,2\nBig\u00a0\u200b Mug,Big,3\n", encoding="utf-8")
    said = io.StringIO()

    call_command("import_products", str(path), stdout=said)

    assert "1 SKU had invisible characters or double spaces" in said.getvalue()
    assert fetch("SELECT sku, name FROM products_product ORDER BY id") == [("MUG", "Other"), ("Big Mug", "Big")]


@pytest.fixture
def _as_before_the_key(database):
    MigrationExecutor(connection).migrate([("products", "0001_initial"), ("inventory", "0011_several_counts")])
    yield
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())


PRODUCT = """
INSERT INTO products_product (sku, name, description, price, currency, is_active, created_at, updated_at)
VALUES (%s, 'P', '', 1, 'EUR', true, now(), now()) RETURNING id
"""
ITEM = """
INSERT INTO inventory_item (product_id, sku, name, is_active, created_at)
SELECT id, sku, name, true, now() FROM products_product RETURNING 1
"""
STOCK = """
INSERT INTO inventory_stock (product_id, warehouse_id, on_hand, reserved, committed, unavailable, safety_stock,
    backorder_limit, reorder_point, seq)
SELECT product_id, 1, 0, 0, 0, 0, 0, 0, (row_number() OVER ()) - 1, 0 FROM inventory_item RETURNING 1
"""


@pytest.mark.usefixtures("_as_before_the_key")
def test_rows_that_collide_stop_the_migration_with_the_command_that_renames():
    first, second, third, fourth = (fetch(PRODUCT, sku)[0][0] for sku in ("MUG", "mug", "Z\u200bW", "FINE"))
    fetch(ITEM)
    fetch("UPDATE inventory_warehouse SET id = 1 WHERE code = 'MAIN' RETURNING 1")
    fetch(STOCK)

    with pytest.raises(CommandError) as stopped:
        call_command("migrate", verbosity=0)

    said = str(stopped.value)
    assert f"product {second}, 'mug': product {first} has the same SKU, 'MUG'" in said
    assert str(fourth) not in [word.rstrip(",") for word in said.split()]
    commands = [line.split()[2:] for line in said.splitlines() if "manage.py" in line]
    assert commands == [[str(second), "mug-2"], [str(third), "ZW"]]
    for command in commands:
        call_command("rename_sku", *command)
    call_command("migrate", verbosity=0)
    assert fetch("SELECT sku, sku_key FROM inventory_item ORDER BY product_id") == [
        ("MUG", "mug"), ("mug-2", "mug-2"), ("ZW", "zw"), ("FINE", "fine")
    ]  # fmt: skip
    assert fetch("SELECT reorder_point FROM inventory_stock ORDER BY product_id") == [(None,), (1,), (2,), (3,)]


def test_renaming_says_what_is_wrong(database):
    one, other = factories.product(sku="ONE"), factories.product(sku="OTHER")

    with pytest.raises(CommandError, match="A product with the SKU other already exists"):
        call_command("rename_sku", one.id, "other")
    with pytest.raises(CommandError, match="no product 999"):
        call_command("rename_sku", 999, "NEW")
    with pytest.raises(CommandError, match="invisible"):
        call_command("rename_sku", other.id, "A\u200bB")
