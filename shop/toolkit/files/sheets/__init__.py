"""Tables in files: CSV (plain or gzip) and XLSX, read row by row as text and written with formulas defused.

Whatever a file may be, reading it takes bounded memory and ends in rows or in UnreadableFile, which says what is wrong.
"""

from shop.toolkit.files.sheets._layouts import Layout, RefusedRow, by_mapping, by_name, folded
from shop.toolkit.files.sheets._reading import Sheet, fingerprint, open_sheet
from shop.toolkit.files.sheets._text import InvalidNumber, UnreadableFile, amount, defused, units
from shop.toolkit.files.sheets._writing import FORMATS, MAX_XLSX_ROWS, write_sheet

__all__ = [
    "FORMATS",
    "MAX_XLSX_ROWS",
    "InvalidNumber",
    "Layout",
    "RefusedRow",
    "Sheet",
    "UnreadableFile",
    "amount",
    "by_mapping",
    "by_name",
    "defused",
    "fingerprint",
    "folded",
    "open_sheet",
    "units",
    "write_sheet",
]
