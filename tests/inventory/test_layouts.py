"""Which files are understood: the own layout, Shopify's, and any other by a mapping; and what is said of them."""

import gzip

import pytest

from shop.toolkit.files.sheets import UnreadableFile
from tests import factories
from tests.conftest import fetch
from tests.inventory.imports import errors, loaded, on_hand, staged

SHOPIFY = (
    "Handle,Title,Option1 Name,Option1 Value,Option2 Name,Option2 Value,Option3 Name,Option3 Value,SKU,HS Code,COO,"
    "Location,Bin name,Incoming (not editable),Unavailable (not editable),Committed (not editable),"
    "Available (not editable),On hand (current),On hand (new)\n"
)
OLDER_SHOPIFY = (
    "Handle,Title,Option1 Name,Option1 Value,Option2 Name,Option2 Value,Option3 Name,Option3 Value,SKU,HS Code,COO,"
    "Location,Incoming,Unavailable,Committed,Available,On hand\n"
)
SHOPIFY_PRODUCTS = "Handle,Title,Option1 Name,Option1 Value,Variant SKU,Variant Inventory Qty,Variant Price,Image Src\n"
NEWER_SHOPIFY_PRODUCTS = "Title,URL handle,SKU,Option1 name,Option1 value,Price,Inventory quantity,Status\n"


def stock() -> dict[str, int]:
    rows = fetch("SELECT sku, sum(on_hand) FROM inventory_stock JOIN inventory_item USING (product_id) GROUP BY sku")
    return {sku: int(units) for sku, units in rows}


def test_shopifys_inventory_file_is_a_compare_and_set_on_what_it_says_is_on_hand(database):
    factories.warehouse("SHOP")
    for sku in ("TOP-S", "TOP-M", "TOP-L", "varsity-top-x-large"):
        factories.product(sku=sku, stock={"SHOP": 5})

    done = loaded(
        SHOPIFY + "varsity-top,Varsity Top,Size,S,,,,,TOP-S,,,Shop,,0,0,1,4,5,8\n"
        "varsity-top,Varsity Top,Size,M,,,,,TOP-M,,,Shop,,0,0,0,6,6,9\n"
        "varsity-top,Varsity Top,Size,L,,,,,TOP-L,,,Shop,,0,0,0,5,5,\n"
        "varsity-top,Varsity Top,Size,X/Large,,,,,,,,Shop,A1,0,0,0,5,5,not stocked\n"
        "varsity-top,Varsity Top,Size,X-Large,,,,,,,,SHOP,A2,0,0,0,5,5,6\n",
        on_error="skip",
    )

    assert (done.rows, done.skipped, done.changed, done.refused) == (3, 2, 2, 1)
    assert errors(done) == [
        "3 On hand (current) '6': 5 are on hand now; look again at the quantity, and expect 5",
    ]
    assert stock() == {"TOP-S": 8, "TOP-M": 5, "TOP-L": 5, "varsity-top-x-large": 6}
    assert "Shopify's inventory file: sku from 'SKU', warehouse from 'Location'" in done.understood_as


def test_an_older_one_sets_what_is_on_hand(database):
    mug = factories.product(sku="MUG", stock=5)
    loaded(OLDER_SHOPIFY + "mug,Mug,Title,Default Title,,,,,MUG,,,Main Warehouse,0,0,0,5,7\n")
    assert on_hand(mug.id) == {"MAIN": 7}


def test_a_shopify_file_is_no_list_of_changes(database):
    with pytest.raises(UnreadableFile, match="with the mode set or count"):
        staged(SHOPIFY_PRODUCTS + "mug,Mug,Title,Default Title,MUG,5,9.90,\n", mode="adjust")


@pytest.mark.parametrize(
    "text",
    [
        SHOPIFY_PRODUCTS + "mug,Mug,Title,Default Title,,5,9.90,https://x/1.jpg\nmug,,,,,,,https://x/2.jpg\n",
        NEWER_SHOPIFY_PRODUCTS + "Mug,mug,,Title,Default Title,9.90,5,active\n",
    ],
)
def test_shopifys_product_file_names_variants_without_a_sku_by_handle_and_options(database, text):
    factories.product(sku="mug")
    done = loaded(text)
    assert (done.status, stock()) == ("applied", {"mug": 5})


def test_a_mapping_says_which_column_is_which_field(database):
    mug = factories.product(sku="MUG")

    text = "Artikel;Bestand;Lager;warehouse\nMUG;1200,0;ignored;MAIN\n"
    done = loaded(text, mapping={"artikel": "sku", "Bestand": "quantity"})

    assert on_hand(mug.id) == {"MAIN": 1200}
    assert done.understood_as == (
        "CSV, UTF-8, separated by semicolon, decimal comma; mapped: sku from 'Artikel', quantity from 'Bestand', "
        "warehouse from 'warehouse'; not used: Lager"
    )


@pytest.mark.parametrize(
    ("mapping", "said"),
    [
        ({"Artikel": "sku"}, "No column is mapped to quantity"),
        ({"Artikel": "sku", "Bestand": "units"}, "There is no field 'units'"),
        ({"Artikel": "sku", "Stock": "quantity"}, "has no column 'Stock'"),
        ({"Artikel": "sku", "Bestand": "sku"}, "Two columns are mapped to sku"),
    ],
)
def test_a_mapping_that_does_not_fit_is_refused(database, mapping, said):
    with pytest.raises(UnreadableFile, match=said):
        staged("Artikel;Bestand\nMUG;5\n", mapping=mapping)


TEXT = "sku;warehouse;quantity\r\nMÜG;Köln;5\r\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (TEXT.encode(), "CSV, UTF-8, separated by semicolon"),
        (TEXT.encode("utf-8-sig"), "CSV, UTF-8 with a byte order mark, separated by semicolon"),
        (TEXT.encode("utf-16"), "CSV, UTF-16, separated by semicolon"),
        (TEXT.encode("utf-16-be"), "CSV, UTF-16, separated by semicolon"),
        (TEXT.encode("cp1252"), "CSV, Windows-1252, separated by semicolon"),
        (TEXT.replace(";", "\t").encode(), "CSV, UTF-8, separated by tab"),
        (TEXT.replace(";", "|").encode(), "CSV, UTF-8, separated by bar"),
        (TEXT.replace(";", ",").encode(), "CSV, UTF-8, separated by comma"),
        (b"sep=;\r\n" + TEXT.encode(), "CSV, UTF-8, separated by semicolon"),
        (b"\r\n\r\n" + TEXT.replace("\r\n", "\r").encode(), "CSV, UTF-8, separated by semicolon"),
        (gzip.compress(TEXT.encode("cp1252"), mtime=0), "CSV, gzip, Windows-1252, separated by semicolon"),
    ],
)
def test_encoding_and_separator_are_found_out_and_said(database, content, said):
    factories.warehouse("Koln")
    fetch("UPDATE inventory_warehouse SET name = 'Köln' WHERE code = 'Koln' RETURNING 1")
    mug = factories.product(sku="MÜG", stock={})

    done = loaded(content)

    assert done.understood_as.startswith(said)
    assert on_hand(mug.id) == {"Koln": 5}


@pytest.mark.parametrize("text", ["5", "+5", "5.0", "5,00", "005", " 5 "])
def test_whole_numbers_as_people_write_them(database, text):
    mug = factories.product(sku="MUG")
    loaded(f"sku;quantity\nMUG;{text}\n")
    assert on_hand(mug.id) == {"MAIN": 5}


def test_what_export_and_error_files_have_for_people_is_not_used(database):
    mug = factories.product(sku="MUG", stock=2)
    done = loaded("sku,name,quantity,expected_on_hand,available,error\nMUG,Mug,5,2,99,was wrong\n")
    assert on_hand(mug.id) == {"MAIN": 5}
    assert done.understood_as.endswith("not used: name, available, error")
