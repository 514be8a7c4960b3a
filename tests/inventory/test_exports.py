"""`export_stock` and `/inventory/exports/`: what export writes import reads, and no spreadsheet runs."""

import csv
import io
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from hypothesis import given
from hypothesis import strategies as st

from inventory.imports import export
from inventory.stock import ledger
from shop.toolkit.callers import SYSTEM
from shop.toolkit.db import transactions
from shop.toolkit.files.sheets import UnreadableFile, _text, defused, open_sheet, write_sheet
from tests import factories
from tests.conftest import counted_statements, environment, fetch
from tests.inventory.imports import loaded

MANAGE = str(Path(__file__).resolve().parents[2] / "manage.py")
CSV, XLSX = "/api/v1/inventory/exports/stock.csv", "/api/v1/inventory/exports/stock.xlsx"
COLUMNS = [
    "sku", "warehouse", "quantity", "expected_on_hand", "name", "reserved", "committed", "unavailable", "safety_stock",
    "available", "reorder_point", "backorder_limit",
]  # fmt: skip


def table(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode())))


def body(response) -> bytes:
    return b"".join(response.streaming_content)


@pytest.fixture
def stocked(database):
    factories.warehouse("EAST")
    mug = factories.product(sku="MUG", stock={"MAIN": 5, "EAST": 2})
    factories.product(sku="=2+3", stock=7)
    factories.product(sku="-5", stock=8)
    factories.product(sku="'=odd", stock=9)
    fetch("UPDATE inventory_stock SET reorder_point = 2 WHERE on_hand = 5 RETURNING 1")
    factories.reservation((mug.id, 3))


def test_every_stock_row_with_what_makes_it_available(stocked, staff):
    header, *rows = table(body(staff.get(CSV)))
    assert header == COLUMNS
    assert [row[:4] for row in rows] == [
        ["''=odd", "MAIN", "9", "9"],
        ["-5", "MAIN", "8", "8"],
        ["'=2+3", "MAIN", "7", "7"],
        ["MUG", "MAIN", "5", "5"],
        ["MUG", "EAST", "2", "2"],
    ]
    assert rows[3][5:] == ["3", "0", "0", "0", "2", "2", "0"]


@pytest.mark.parametrize("url", [CSV, XLSX])
def test_what_export_writes_import_reads_and_changes_nothing(stocked, staff, url):
    before = fetch("SELECT * FROM inventory_movement ORDER BY product_id, warehouse_id, seq")
    content = body(staff.get(url))

    done = loaded(content)

    assert (done.status, done.rows, done.unchanged) == ("applied", 5, 5)
    assert fetch("SELECT * FROM inventory_movement ORDER BY product_id, warehouse_id, seq") == before


def test_an_edited_export_is_a_compare_and_set(stocked, staff):
    content = body(staff.get(CSV)).replace(b"MUG,MAIN,5,5", b"MUG,MAIN,6,5").replace(b"-5,MAIN,8,8", b"-5,MAIN,1,8")
    fetch("SELECT 1")
    product_id = fetch("SELECT product_id FROM inventory_item WHERE sku = '-5'")[0][0]
    transactions.run(lambda: ledger.sell(product_id=product_id, quantity=1, note="", reference="", caller=SYSTEM))

    done = loaded(content, on_error="skip")

    assert (done.changed, done.refused, done.refused_rows[0].detail[:21]) == (1, 1, "7 are on hand now; lo")


def test_filters(stocked, staff):
    assert [row[0] for row in table(body(staff.get(f"{CSV}?warehouse=EAST")))[1:]] == ["MUG"]
    assert [row[1] for row in table(body(staff.get(f"{CSV}?search=mu")))[1:]] == ["MAIN", "EAST"]
    assert len(table(body(staff.get(f"{CSV}?low_stock=true")))) == 2
    assert len(table(body(staff.get(f"{CSV}?low_stock=false")))) == 5
    assert staff.get(f"{CSV}?color=red").json()["errors"][0]["field"] == "color"


def test_who_may_and_how_it_is_sent(stocked, api, customer, staff):
    assert (api.get(CSV).status_code, customer.get(XLSX).status_code) == (401, 403)
    response = staff.get(XLSX, headers={"accept": "application/vnd.ms-excel"})
    assert response.headers["Content-Disposition"] == 'attachment; filename="stock.xlsx"'
    assert body(response).startswith(b"PK")


def test_statements_do_not_grow_with_the_stock(database, staff):
    counts = []
    for more in (1, 40):
        for _ in range(more):
            factories.product(stock=1)
        with counted_statements() as statements:
            body(staff.get(CSV))
        counts.append(len(statements))
    assert counts[0] == counts[1]


def test_more_rows_than_a_worksheet_has_are_refused(stocked, staff, monkeypatch):
    monkeypatch.setattr(export, "MAX_XLSX_ROWS", 4)
    response = staff.get(XLSX)
    assert response.status_code == 400
    assert (
        response.json()["detail"] == "The export has 5 rows, and a worksheet holds 4. Export CSV, or filter the rows."
    )


def test_the_command_writes_a_file_or_standard_output_and_never_half_a_file(stocked, tmp_path, capsys):
    path = tmp_path / "stock.csv"
    call_command("export_stock", str(path), warehouse="EAST")
    assert capsys.readouterr().out == f"Wrote 1 row to {path}\n"
    done = subprocess.run([sys.executable, MANAGE, "export_stock", "-"], capture_output=True, env=environment())
    assert table(done.stdout)[0] == COLUMNS
    assert len(table(done.stdout)) == 6
    for name, said in (("stock.txt", "must end in .csv or .xlsx"), ("none/stock.csv", "cannot be written")):
        with pytest.raises(CommandError, match=said):
            call_command("export_stock", str(tmp_path / name))
    assert [found.name for found in tmp_path.iterdir()] == ["stock.csv"]


@given(st.text(max_size=6) | st.from_regex(r"'*[=+\-@\t\r].{0,3}", fullmatch=True))
def test_what_is_defused_is_no_formula_and_can_be_read_back(text):
    assert _text.plain(defused(text)) == _text.plain(text) or _text.plain(defused(text)) == text
    if not _text._NUMBER.fullmatch(text):
        assert _text.plain(defused(text)) == text
        assert defused(text)[:1] not in tuple("=+-@\t\r")


@pytest.mark.parametrize("text", ["-5", "+5", "-5.5", "-0,25", "12"])
def test_numbers_stay_numbers(text):
    assert defused(text) == text


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_every_text_comes_back_from_a_file_as_it_was(tmp_path, kind):
    texts = ["=1+1", "'=1", "''-x", "@a", "\tb", "-5", 'say "hi"', "a,b;c", "zwei\nZeilen", "Ü", "007", "1e5", " x "]
    path = tmp_path / "file"
    write_sheet(path, kind, ["text", "number"], [(text, number) for number, text in enumerate(texts)])
    with open_sheet(path, max_bytes=10_000) as sheet:
        rows = [cells for _, cells in sheet.rows]
    assert rows == [[text, str(number)] for number, text in enumerate(texts)]


def test_an_unreadable_file_has_one_kind_of_refusal(tmp_path):
    (tmp_path / "x").write_bytes(b"")
    with pytest.raises(UnreadableFile), open_sheet(tmp_path / "x", max_bytes=10):
        pass
