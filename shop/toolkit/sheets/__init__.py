"""Tables in files: CSV (plain or gzip) and XLSX, read row by row as text and written with formulas defused.

Whatever a file may be, reading it takes bounded memory and ends in rows or in UnreadableFile, which says what is wrong.
"""

from shop.toolkit.sheets._reading import Sheet, fingerprint, open_sheet
from shop.toolkit.sheets._text import InvalidNumber, UnreadableFile, amount, defused, units
from shop.toolkit.sheets._writing import FORMATS, MAX_XLSX_ROWS, write_sheet

__all__ = [
    "FORMATS",
    "MAX_XLSX_ROWS",
    "InvalidNumber",
    "Sheet",
    "UnreadableFile",
    "amount",
    "defused",
    "fingerprint",
    "open_sheet",
    "units",
    "write_sheet",
]
