"""Files that nobody here wrote: a shop moves in with two commands, and its stock comes out as it went in.

The rules for what is odd in them:
- no variant of the Shopify files has a SKU: it is made of the handle and the options, by both commands alike;
- rows of images alone are neither products nor stock;
- a variant's name is its product's title and its options; its other columns come from the product's first row;
- `Variant Inventory Tracker` is empty nearly everywhere, which to Shopify means that nobody counts; the quantity beside
  it is what was counted at last, and is loaded;
- the retail file is invoices, not a catalogue: of a code that has several names or prices the first row that has both
  counts, and codes that are charges (POST, D ...) are products like any other; `85123A` and `85123a` are one code, as
  they are on the shelf;
- its quantities are loaded as what was added, a row for each line of an invoice, the invoice as the reference; a
  product that stands twice on one invoice is refused and summed by hand, which is what the error says.
"""

import csv
from collections import Counter
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command

from shop.toolkit.skus import sku_key
from tests.conftest import fetch
from tests.stock_rows import assert_books_are_right

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
SHOPIFY = sorted(DATA.glob("shopify-products-*.csv"))
RETAIL = DATA / "online-retail-7k.csv"

pytestmark = [pytest.mark.long, pytest.mark.skipif(not RETAIL.exists(), reason="the real files are not there")]


@pytest.fixture
def folder(database, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(command: str, *arguments: object) -> str:
    out = StringIO()
    call_command(command, *map(str, arguments), stdout=out)
    return out.getvalue()


def stock() -> dict[str, int]:
    return dict(fetch("SELECT sku, on_hand FROM inventory_stock JOIN inventory_item USING (product_id)"))


def exported(folder: Path, kind: str) -> Path:
    path = folder / f"stock.{kind}"
    run("export_stock", path)
    return path


def variants(path: Path) -> Counter[tuple[str, str, str]]:
    """Read a file with nothing but the standard library: handle, options and quantity of what has a price."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["Variant Price"]]
    return Counter((row["Handle"], row["Option1 Value"], row["Variant Inventory Qty"]) for row in rows)


@pytest.mark.parametrize("path", SHOPIFY, ids=lambda path: path.stem)
def test_a_shopify_shop_moves_in_with_two_commands_and_out_unchanged(folder, path):
    expected = variants(path)

    products = run("import_products", path, "--currency", "USD")
    levels = run("import_stock", path)

    assert f"  new       {expected.total():>12,}" in products
    assert f"  new       {expected.total():>12,}" in levels
    assert sum(stock().values()) == sum(int(units) * times for (*_, units), times in expected.items())
    assert sorted(stock().values()) == sorted(int(units) for *_, units in expected.elements())
    for handle, option, units in expected.elements():
        slug = "-".join([handle, *([] if option == "Default Title" else [option.lower().replace(" ", "-")])])
        if slug in stock() and slug.isascii():
            assert stock()[slug] == int(units), slug
    before = stock()
    for kind in ("csv", "xlsx"):
        assert f"  unchanged {len(before):>12,}" in run("import_stock", exported(folder, kind))
    assert f"  unchanged {expected.total():>12,}" in run("import_products", path, "--currency", "USD")
    assert stock() == before
    with exported(folder, "csv").open(newline="") as file:
        assert {row["sku"]: int(row["quantity"]) for row in csv.DictReader(file)} == before
    assert_books_are_right()


def test_the_retail_file_loads_and_its_refused_rows_are_mended_and_loaded(folder):
    with RETAIL.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file, delimiter=";"))
    maps = ("--map", "StockCode=sku", "--map", "Description=name", "--map", "UnitPrice=price")
    amounts = (
        "--mode",
        "adjust",
        "--map",
        "StockCode=sku",
        "--map",
        "Quantity=quantity",
        "--map",
        "InvoiceNo=reference",
    )
    skip = ("--on-error", "skip")

    products = run("import_products", RETAIL, *maps, *skip)
    levels = run("import_stock", RETAIL, "--mode", "adjust", *amounts, *skip)

    named = {sku_key(row["StockCode"]) for row in rows if row["Description"]}
    assert "CSV, UTF-8 with a byte order mark, separated by semicolon, decimal comma" in products
    assert f"  new       {len(named):>12,}" in products
    assert "7,000 rows" in levels
    refused = folder / "online-retail-7k.errors-2.csv"  # the first one is of the products
    refused.write_text(mended(refused, named), encoding="utf-8")
    sums = Counter()
    for row in rows:
        if sku_key(row["StockCode"]) in named:
            sums[sku_key(row["StockCode"])] += int(row["Quantity"])
    run("import_stock", refused, "--mode", "adjust", *amounts, *skip)

    # What is left out in the end are units that would go before they came: cancellations of what was sold earlier.
    left_out = Counter()
    with (folder / "online-retail-7k.errors-3.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            left_out[sku_key(row["StockCode"])] += int(row["Quantity"])
    found = {sku_key(sku): units for sku, units in stock().items()}
    for key, units in sums.items():
        assert found.get(key, 0) == units - left_out[key], key
    assert f"  unchanged {len(found):>12,}" in run("import_stock", exported(folder, "csv"))
    assert_books_are_right()


def mended(path: Path, named: set[str]) -> str:
    """Do what the errors say: sum what stands twice on one invoice; leave out what has no product."""
    sums: Counter[tuple[str, str]] = Counter()
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        rows = [row for row in reader if sku_key(row["StockCode"]) in named]
    kept = []
    for row in rows:
        if "or sum them" in row["error"]:
            sums[row["InvoiceNo"], sku_key(row["StockCode"])] += int(row["Quantity"])
        else:
            kept.append(row)
    text = StringIO()
    writer = csv.DictWriter(text, reader.fieldnames or [])
    writer.writeheader()
    for (invoice, code), units in sums.items():
        writer.writerow({"InvoiceNo": invoice, "StockCode": code, "Quantity": str(units)})
    writer.writerows(kept)
    return text.getvalue()
