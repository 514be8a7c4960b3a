"""`import_stock` and files that are no stock file: a clear error, no traceback, nothing written, bounded memory."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from shop.toolkit.files.sheets import UnreadableFile, open_sheet
from tests import factories
from tests.conftest import environment, fetch
from tests.inventory.malformed import GOOD, HOSTILE, MALFORMED, flipped, workbook


@pytest.fixture
def mug(database):
    return factories.product(sku="MUG", stock=2)


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_file_gets_a_clear_error_and_writes_nothing(mug, tmp_path, name, capsys):
    content, expected = MALFORMED[name]
    path, errors = tmp_path / "levels.csv", tmp_path / "errors.csv"
    path.write_bytes(content)

    with pytest.raises(CommandError) as caught:
        call_command("import_stock", str(path), errors=errors)

    said = f"{caught.value}\n{capsys.readouterr().out}"
    assert expected in said
    assert "Error(" not in said
    assert fetch("SELECT on_hand, seq FROM inventory_stock") == [(2, 1)]
    assert fetch("SELECT count(*) FROM inventory_importrow WHERE fault = ''") == [(0,)]
    assert fetch("SELECT count(*) FROM inventory_stockimport WHERE status <> 'refused'") == [(0,)]


def test_the_good_ones_among_them_load(mug, tmp_path):
    for name, content in (("good.csv", GOOD), ("good.xlsx", workbook())):
        (tmp_path / name).write_bytes(content)
        call_command("import_stock", str(tmp_path / name))
        assert fetch("SELECT on_hand FROM inventory_stock") == [(5,)]


# The peak since the process began; `getrusage` has the peak of the process that started it as well.
MEASURED = """
import sys, time
from pathlib import Path
from shop.toolkit.files.sheets import UnreadableFile, open_sheet
def peak():
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024
before = peak()
try:
    with open_sheet(Path(sys.argv[1]), max_bytes=200 << 20) as sheet:
        for _ in sheet.rows:
            pass
except UnreadableFile as refusal:
    print(peak() - before, time.process_time(), refusal)
"""
MOST_MEGABYTES, MOST_SECONDS = 64, 20


def refusal_within_bounds(path: Path) -> str:
    """Read a file in a process of its own; return why it is unreadable, found out with little memory and time."""
    done = subprocess.run([sys.executable, "-c", MEASURED, str(path)], capture_output=True, text=True, check=True)
    megabytes, seconds, said = done.stdout.split(" ", 2)
    assert int(megabytes) < MOST_MEGABYTES
    assert float(seconds) < MOST_SECONDS
    return said


needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells the peak of a process")


@needs_proc
@pytest.mark.parametrize(
    "name",
    ["gzip bomb", "unpacks to too much", "a million shared strings", "one cell far away", "lies about its size",
     "a cell far away in lower case", "a long text a thousand times", "parts in capitals", "a tag without end",
     "blank lines without end", "cells of a megabyte",
     "wide and long without numbers", "line without end", "cell without end"],
)  # fmt: skip
def test_what_is_made_to_eat_memory_is_refused_with_little_of_it(tmp_path, name):
    path = tmp_path / "bomb"
    path.write_bytes(MALFORMED[name][0])

    refusal_within_bounds(path)


# One of each kind of part: of a sheet, of the book, of an archive.
QUICK = ("long names", "text without end", "sheets without end", "a row over lines without end")


@needs_proc
@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.long) for name in HOSTILE]
)
def test_what_a_parser_would_keep_in_memory_is_refused_before_it_does(tmp_path, name):
    made, expected = HOSTILE[name]
    path = tmp_path / "hostile"
    path.write_bytes(made())

    assert expected in refusal_within_bounds(path)


def test_what_programs_keep_in_a_workbook_beside_its_cells_does_not_matter(tmp_path):
    """Power Query writes one long text in UTF-16, and pivot tables their own copy of the data."""
    path = tmp_path / "levels.xlsx"
    query = f'<?xml version="1.0" encoding="utf-16"?><DataMashup>{"QUJD" * 100_000}</DataMashup>'.encode("utf-16")
    records = b"<pivotCacheRecords>" + b"<r><n v='1'/></r>" * 500_000 + b"</pivotCacheRecords>"
    path.write_bytes(
        workbook(more={"customXml/item1.xml": query, "xl/pivotCache/pivotCacheRecords1.xml": records * 10})
    )

    with open_sheet(path, max_bytes=1 << 20) as sheet:
        assert [cells for _, cells in sheet.rows] == [["MUG", "5"]]


def test_the_command_itself_prints_one_sentence_and_no_traceback(mug, tmp_path):
    path = tmp_path / "levels.csv"
    path.write_bytes(MALFORMED["misspelled column"][0])

    done = subprocess.run(
        [sys.executable, "manage.py", "import_stock", str(path)], capture_output=True, text=True, env=environment()
    )

    assert done.returncode == 1
    assert done.stderr.startswith("CommandError: levels.csv: The file has the columns sku, quantity, warehose")
    assert "Traceback" not in done.stderr


def test_a_broken_workbook_is_unreadable_whatever_is_broken_in_it(tmp_path):
    whole, path = workbook(), tmp_path / "levels.xlsx"
    outcomes = Counter()
    for seed in range(400):
        path.write_bytes(flipped(whole, seed, times=seed % 7 + 1))
        try:
            with open_sheet(path, max_bytes=1 << 20) as sheet:
                outcomes["read", len(list(sheet.rows))] += 1
        except UnreadableFile:
            outcomes["unreadable"] += 1
    assert outcomes["unreadable"] > 100
