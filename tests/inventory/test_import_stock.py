"""`manage.py import_stock` and `undo_import`, as an operator meets them."""

import csv
import os
import random
import re
import signal
import subprocess
import sys
import time
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from tests import factories
from tests.conftest import environment, fetch, wait_until
from tests.inventory.imports import staged
from tests.stock_rows import assert_books_are_right

# Thousands of rows, and plans that were made for few: a new shop has neither.
pytestmark = pytest.mark.usefixtures("new_tables")

MANAGE = str(Path(__file__).resolve().parents[2] / "manage.py")


@pytest.fixture
def folder(database, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: object, **options: object) -> str:
    out = StringIO()
    call_command("import_stock", *map(str, arguments), stdout=out, **options)
    return out.getvalue()


def test_a_dry_run_and_the_real_one_print_the_same_figures(folder):
    factories.product(sku="MUG", stock=5)
    factories.product(sku="POT", stock={})
    path = folder / "levels.csv"
    path.write_text("sku,quantity\nMUG,1\nPOT,12\n")

    dry, real = run(path, "--dry-run"), run(path)

    assert dry.splitlines()[:-1] == real.splitlines()[:-1]
    assert dry.endswith("Dry run: nothing was written.\n")
    assert re.search(r"Import [0-9a-f-]{36} is applied\.\n$", real)
    assert real.splitlines()[:-1] == [
        (
            "levels.csv: CSV, UTF-8, separated by comma, decimal point; own layout: sku from 'sku', quantity from "
            "'quantity'"
        ),
        "2 rows",
        "  new                  1",
        "  changed              1",
        "  unchanged            0",
        "  refused              0",
        "  warehouse                   units in       units out",
        "  MAIN                              12               4",
        "Largest changes:",
        "  line 3: POT in MAIN 0 -> 12 (+12)",
        "  line 2: MUG in MAIN 5 -> 1 (-4)",
    ]


def test_refused_rows_go_to_a_file_that_is_mended_and_loaded_again(folder):
    factories.product(sku="MUG")
    factories.product(sku="POT")
    path = folder / "levels.csv"
    path.write_text("sku,quantity,note\nMUG,5,\nPOT,-1,@home\n")

    with pytest.raises(CommandError, match=r"Nothing was written: 1 of 2 rows refused\. .* --on-error skip\."):
        run(path)
    assert fetch("SELECT sum(on_hand) FROM inventory_stock") == [(0,)]
    said = run(path, "--on-error", "skip")

    assert "  line 3, quantity '-1': the number of units must be between 0 and 1,000,000,000" in said
    errors = folder / "levels.errors-2.csv"  # the first one is still there
    header, row = csv.reader(errors.read_text().splitlines())
    assert header == ["sku", "quantity", "note", "error"]
    assert row[:3] == ["POT", "-1", "'@home"]  # a number stays a number, what a spreadsheet would run is defused
    errors.write_text(errors.read_text().replace("-1,", "1,", 1))
    run(errors)
    assert fetch("SELECT sku, on_hand, s.seq FROM inventory_stock s JOIN inventory_item USING (product_id)") == [
        ("MUG", 5, 1),
        ("POT", 1, 1),
    ]
    assert fetch("SELECT note FROM inventory_movement WHERE on_hand = 1") == [("@home",)]


def test_the_same_file_is_refused_and_an_undo_takes_it_back(folder):
    factories.product(sku="MUG", stock=2)
    path = folder / "levels.csv"
    path.write_text("sku,quantity\nMUG,5\n")
    import_id = re.search(r"Import (\S+) is applied", run(path))[1]

    with pytest.raises(CommandError, match=rf"already imported \(import {import_id}, applied\).*--again"):
        run(path)
    call_command("undo_import", import_id, stdout=StringIO())

    assert fetch("SELECT on_hand FROM inventory_stock") == [(2,)]
    with pytest.raises(CommandError, match="There is no import"):
        call_command("undo_import", "00000000-0000-7000-8000-000000000000")


def test_options_that_cannot_be_are_refused_with_a_sentence(folder):
    path = folder / "levels.csv"
    path.write_text("sku,quantity\nMUG,5\n")
    for arguments, said in (
        (["none.csv"], r"none.csv cannot be read: No such file or directory\."),
        ([folder], "cannot be read: Is a directory"),
        ([path, "--note", "n" * 501], "A note may have at most 500 characters"),
        ([path, "--errors", folder / "none" / "x.csv"], "There is no folder"),
        ([path, "--errors", path], "is the file that is loaded"),
        ([path, "--map", "sku"], "write column=field"),
        ([path, "--warehouse", "NONE"], "There is no warehouse NONE"),
    ):
        with pytest.raises(CommandError, match=said):
            run(*arguments)
    assert fetch("SELECT count(*) FROM inventory_stockimport") == [(0,)]


def test_an_import_that_was_cut_off_is_gone_on_with_as_it_was_begun(folder):
    factories.product(sku="MUG")
    path = folder / "levels.csv"
    path.write_text("sku,quantity\nMUG,5\n")
    staged(path.read_text(), note="January", warehouse="MAIN")

    with pytest.raises(CommandError, match=r"had other options: .*note 'January'.*warehouse 'MAIN'"):
        run(path)
    said = run(path, "--note", "January", "--warehouse", "MAIN")

    assert said.startswith("Resuming import ")
    assert fetch("SELECT note FROM inventory_movement WHERE import_id IS NOT NULL") == [("January",)]


def test_a_name_that_is_no_utf_8_is_a_name_all_the_same(folder):
    factories.product(sku="MUG")
    path = os.fsdecode(b"m\xfcg.csv")
    Path(path).write_text("sku,quantity\nMUG,5\nNONE,1\n")
    assert run(path, "--on-error", "skip").startswith("m?g.csv: CSV")
    assert (folder / "m?g.errors.csv").exists()


def test_standard_input_is_read_and_progress_is_plain_lines_where_there_is_no_terminal(folder):
    factories.product(sku="MUG")

    done = subprocess.run(
        [sys.executable, MANAGE, "import_stock", "-"],
        input=b"sku,quantity\nMUG,5\n", capture_output=True, env=environment(),
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"standard input: CSV, UTF-8")
    assert b"\r" not in done.stderr
    assert fetch("SELECT on_hand FROM inventory_stock") == [(5,)]


ROWS = 20_000


@pytest.mark.parametrize("kills", [2, pytest.param(10, marks=pytest.mark.long)])
def test_a_killed_import_goes_on_where_it_stopped_and_the_books_are_right_at_every_moment(folder, kills):
    chance = random.Random(7)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO products_product"
            " (sku, sku_key, name, description, price, currency, is_active, created_at, updated_at)"
            f" SELECT 'S' || n, 's' || n, 'P', '', 1, 'EUR', true, now(), now() FROM generate_series(1, {ROWS}) n;"
            "INSERT INTO inventory_item (product_id, sku, sku_key, name, is_active, created_at)"
            " SELECT id, sku, sku_key, name, true, now() FROM products_product"
        )
    found: list[str | None] = []
    for turn in range(kills):
        path = folder / "levels.csv"
        rows = (f"S{number},{number % 90 + turn}\n" for number in range(1, ROWS + 1))
        path.write_text("sku,quantity\n" + "".join(rows))
        command = [sys.executable, MANAGE, "import_stock", str(path)]
        with subprocess.Popen(
            command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            if turn % 2:  # in the middle, however long a busy machine takes to come to that
                wait_until(is_applying, seconds=120)
            else:
                time.sleep(chance.uniform(0.5, 1.8))
            process.send_signal(signal.SIGKILL)
        wait_for_the_server_to_notice()

        assert_books_are_right()
        states = fetch("SELECT status FROM inventory_stockimport ORDER BY created_at DESC LIMIT 1")
        found.append(states[0][0] if states else None)
        if found[-1] != "applied" or len(fetch("SELECT 1 FROM inventory_stockimport")) <= turn:
            said = subprocess.run(command, env=environment(), capture_output=True, text=True)
            assert said.returncode == 0, said.stderr
            assert ("Resuming import" in said.stdout) == (found[-1] in ("staged", "applying"))

        assert fetch(
            "SELECT count(*) FROM inventory_stock JOIN inventory_item USING (product_id)"
            " WHERE on_hand <> substr(sku, 2)::int %% 90 + %s", turn
        ) == [(0,)]  # fmt: skip
        assert fetch("SELECT count(*) FROM inventory_stock") == [(ROWS,)]
    assert "applying" in found  # else no kill was in the middle, and the test has shown nothing
    assert_books_are_right()


def is_applying() -> bool:
    return bool(fetch("SELECT 1 FROM inventory_stockimport WHERE status = 'applying'"))


def wait_for_the_server_to_notice() -> None:
    """A killed client's last statement is finished by the server, which then finds nobody there."""
    busy = (
        "SELECT 1 FROM pg_stat_activity WHERE state <> 'idle' AND pid <> pg_backend_pid()"
        " AND datname = current_database()"
    )
    wait_until(lambda: not fetch(busy), seconds=120)
