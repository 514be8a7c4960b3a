"""`manage.py import_products`: a catalogue from a file, each product with its inventory item."""

import csv
from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from products import files, imports
from products import services as products
from shop.toolkit.db import transactions
from shop.toolkit.db.pages import PageRequest
from tests import factories
from tests.conftest import counted_statements, fetch
from tests.inventory.malformed import MALFORMED
from tests.stock_rows import assert_books_are_right

SHOPIFY = (
    "Handle,Title,Body (HTML),Published,Option1 Name,Option1 Value,Option2 Value,Variant SKU,Variant Price,Status\n"
)


@pytest.fixture
def folder(database, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(folder, text: str | bytes, *arguments: str) -> str:
    path = folder / "products.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    out = StringIO()
    call_command("import_products", str(path), *arguments, stdout=out)
    return out.getvalue()


def catalogue() -> list[tuple]:
    return fetch("SELECT sku, name, price, currency, is_active FROM products_product ORDER BY sku")


def test_products_are_created_with_their_items_and_changed_where_they_are_otherwise(folder):
    factories.product(sku="MUG", price="5.00")

    said = load(folder, "sku,name,price,currency,is_active\nMUG,Mug,9.90,,no\nPOT,Pot,1200,JPY,\n")
    again = load(folder, "sku,name,price\nMUG,Mug,9.90\n")

    assert catalogue() == [
        ("MUG", "Mug", Decimal("9.9000"), "EUR", False),
        ("POT", "Pot", Decimal("1200.0000"), "JPY", True),
    ]
    assert said.splitlines()[1:] == [
        "2 rows",
        "  new                  1",
        "  changed              1",
        "  unchanged            0",
        "  refused              0",
        "Done.",
    ]
    assert "  unchanged            1" in again
    assert_books_are_right()


def test_a_dry_run_says_so_and_writes_nothing(folder):
    text = "sku,name,price\nMUG,Mug,9.90\n"
    dry = load(folder, text, "--dry-run")
    assert catalogue() == []
    assert dry.splitlines()[:-1] == load(folder, text).splitlines()[:-1]


def test_shopifys_variants_become_products_named_by_their_options(folder):
    load(
        folder,
        SHOPIFY + "top,Varsity Top,<p>Warm</p>,true,Size,Small,Navy,,60,active\n"
        "top,,,,,Medium,Navy,TOP-M,65,\ntop,,,,,,,,,\nmug,Mug,,true,Title,Default Title,,,5,draft\n",
        "--currency", "USD",
    )  # fmt: skip
    assert catalogue() == [
        ("TOP-M", "Varsity Top, Medium, Navy", Decimal("65.0000"), "USD", True),
        ("mug", "Mug", Decimal("5.0000"), "USD", False),
        ("top-small-navy", "Varsity Top, Small, Navy", Decimal("60.0000"), "USD", True),
    ]
    assert fetch("SELECT DISTINCT description FROM products_product WHERE sku <> 'mug'") == [("<p>Warm</p>",)]


def test_todays_shopify_columns_are_known_as_well(folder):
    header = "Title,URL handle,Description,Status,SKU,Option1 name,Option1 value,Price,Published on online store\n"
    load(folder, header + "Mug,mug,Blue,Active,,Title,Default Title,5.50,TRUE\n")
    assert catalogue() == [("mug", "Mug", Decimal("5.5000"), "EUR", True)]


BAD_ROWS = {
    ",Mug,1,": "line 2, sku '': a SKU is needed",
    "MUG,,1,": "line 2, name '': the name is missing",
    "MUG,Mug,,": "line 2, price '': the price is missing",
    "MUG,Mug,-1,": "line 2, price '-1': an amount is needed, such as 9.90, without a currency or separators",
    "MUG,Mug,€5,": "line 2, price '€5': an amount is needed",
    "MUG,Mug,1.9999,": "line 2, price '1.9999': a price in EUR has 2 decimals",
    'MUG,Mug,"1,200",': "line 2, price '1,200': an amount is needed, such as 9.90, without",
    "MUG,Mug,1.200,": "line 2, price '1.200': an amount is needed",  # twelve hundred, or one and a bit?
    "MUG,Mug,1.5,JPY": "line 2, price '1.5': a price in JPY has 0 decimals",
    "MUG,Mug,1,XYZ": "line 2, currency 'XYZ': must be an ISO 4217 currency code such as EUR",
    f"{'M' * 65},Mug,1,": "a SKU has at most 64 characters",
    "MUG,Mug": "line 2, row '': the row has 2 cells where the header has 4",
}


@pytest.mark.parametrize("row", BAD_ROWS)
def test_a_row_that_cannot_be_right_is_named_and_nothing_is_written(folder, row, capsys):
    out = StringIO()
    path = folder / "products.csv"
    path.write_text(f"sku,name,price,currency\n{row}\nPOT,Pot,5,\n")

    with pytest.raises(CommandError, match="Nothing was written: 1 row refused"):
        call_command("import_products", str(path), stdout=out)

    assert BAD_ROWS[row] in out.getvalue()
    assert catalogue() == []


def test_of_rows_that_contradict_each_other_the_first_counts_and_refused_ones_can_be_mended(folder):
    text = "sku,name,price\nMUG,Mug,9.90\nMUG,Mug,9.90\nMUG,Cup,9.90\nPOT,=Pot,x\n"

    load(folder, text, "--on-error", "skip")

    assert catalogue() == [("MUG", "Mug", Decimal("9.9000"), "EUR", True)]
    header, cup, pot = csv.reader((folder / "products.errors.csv").read_text().splitlines())
    assert header == ["sku", "name", "price", "error"]
    assert cup[:3] == ["MUG", "Cup", "9.90"]
    assert (
        cup[3]
        == "line 4, sku 'MUG': line 2 has the same SKU with other data, and takes precedence; use another SKU here"
    )
    assert pot[:3] == ["POT", "'=Pot", "x"]
    mended = (folder / "products.errors.csv").read_text().replace("MUG,Cup", "CUP,Cup").replace(",x,", ",3,")
    load(folder, mended)
    assert [row[:2] for row in catalogue()] == [("CUP", "Cup"), ("MUG", "Mug"), ("POT", "=Pot")]


def test_decimal_commas_and_other_columns(folder):
    load(
        folder, "Artikel;Text;Preis\nMUG;Becher;9,90\nPOT;Kanne;12\n", *maps("Artikel=sku", "Text=name", "Preis=price")
    )
    assert [row[2] for row in catalogue()] == [Decimal("9.9000"), Decimal("12.0000")]


def maps(*pairs: str) -> list[str]:
    return [part for pair in pairs for part in ("--map", pair)]


@pytest.mark.parametrize("name", ["empty", "picture", "json", "misspelled column", "gzip cut off", "entities"])
def test_malformed_files_get_a_clear_error(folder, name):
    content, said = MALFORMED[name]
    with pytest.raises(CommandError, match=r"products\.csv: ") as caught:
        load(folder, content)
    assert said in str(caught.value) or "columns" in str(caught.value)


def test_statements_do_not_grow_with_the_file(folder):
    counts = []
    for size in (2, 50):
        with counted_statements() as statements:
            load(folder, "sku,name,price\n" + "".join(f"S{number},P{size},5\n" for number in range(size)))
        counts.append(len(statements))
    assert counts[1] <= counts[0] + 2  # the second run changes what the first one made


def test_a_product_that_somebody_creates_meanwhile_is_a_refusal(database):
    row = files.Row(2, "MUG", "Mug", Decimal(5), None, None, None, is_tidied=False)
    assert transactions.run(lambda: imports.import_products([row], currency="EUR")) == imports.Imported(new=1)
    assert transactions.run(lambda: imports.import_products([row], currency="EUR")) == imports.Imported(unchanged=1)
    assert products.list_products(page=PageRequest(), with_archived=True).results[0].name == "Mug"


def test_what_a_file_does_not_say_stays_as_it_is(folder):
    load(folder, "sku,name,price,currency,description,is_active\nMUG,Mug,5,USD,Blue,no\n")
    load(folder, "sku,name,price,currency,description\nMUG,Cup,6,,\n", "--currency", "JPY")
    assert catalogue() == [("MUG", "Cup", Decimal("6.0000"), "USD", False)]
    assert fetch("SELECT description FROM products_product") == [("Blue",)]
    with pytest.raises(CommandError, match="is too fine: USD has 2 decimals"):
        load(folder, "sku,name,price\nMUG,Cup,6.555\n", "--currency", "KWD")


def test_the_file_that_is_loaded_is_never_written_over(folder):
    text = "sku,name,price\nMUG,Mug,x\nPOT,Pot,5\n"
    path = folder / "products.errors.csv"
    for name in ("products.csv", "products.errors.csv", "products.errors-2.csv"):
        (folder / name).write_text(text)
        with pytest.raises(CommandError):
            call_command("import_products", name, stdout=StringIO())
        assert (folder / name).read_text() == text
    assert path.read_text() == text
    with pytest.raises(CommandError, match="is the file that is loaded"):
        call_command("import_products", "products.csv", errors=folder / "products.csv")
    with pytest.raises(CommandError, match="There is no folder"):
        call_command("import_products", "products.csv", errors=folder / "none" / "x.csv")
