import csv
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import xlsxwriter

from shop.toolkit.files.sheets._text import defused

MAX_XLSX_ROWS = 1_048_575  # Excel's own limit, less the header
Cell = str | int | None


def write_sheet(path: Path, kind: str, columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> int:
    """Write a table to a file, row by row; `kind` is one of FORMATS. Return the number of rows.

    Integers are written as numbers, text is defused, also in the names of columns; None is an empty cell.
    """
    return FORMATS[kind](path, columns, rows)


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> int:
    count = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\r\n")
        writer.writerow([defused(name) for name in columns])
        for count, row in enumerate(rows, start=1):  # noqa: B007  # the last one is the result
            writer.writerow([defused(cell) if isinstance(cell, str) else cell for cell in row])
    return count


def _write_xlsx(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> int:
    count = 0
    # Each row goes to the disk as the next one begins.
    with xlsxwriter.Workbook(str(path), {"constant_memory": True}) as book:
        sheet = book.add_worksheet("stock")
        sheet.freeze_panes(1, 0)
        for column, name in enumerate(columns):
            sheet.write_string(0, column, defused(name))
        for count, row in enumerate(rows, start=1):
            for column, cell in enumerate(row):
                if isinstance(cell, int):
                    sheet.write_number(count, column, cell)
                elif cell:
                    sheet.write_string(count, column, defused(cell))
    return count


FORMATS: dict[str, Callable[[Path, Sequence[str], Iterable[Sequence[Cell]]], int]] = {
    "csv": _write_csv,
    "xlsx": _write_xlsx,
}
