"""Workbooks. Everything that could blow up is measured while it is unpacked bit by bit, before the reader sees it."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from xml.parsers import expat
from zipfile import BadZipFile, ZipFile, ZipInfo

from python_calamine import CalamineError, CalamineWorkbook

from shop.toolkit.sheets._text import NO_TEXT, UnreadableFile, plain

BLOCK = 1 << 16
MAX_PARTS = 1000
MAX_UNPACKED = 128 << 20
MAX_CELLS = 1_500_000  # rows times columns: the reader lays a sheet out in full, however few cells are filled
MAX_STRINGS = 300_000  # shared ones; a file of that size is one for CSV
STORED, DEFLATED = 0, 8
AS_CSV = "Save it as CSV, which has no such limit."


def rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Return the rows of the first sheet as text, with their numbers. Raises UnreadableFile."""
    _examine(path)
    try:
        with path.open("rb") as file:
            workbook = CalamineWorkbook.from_filelike(file)
            sheet = workbook.get_sheet_by_index(0)
    except (CalamineError, OSError, ValueError, IndexError) as error:
        raise UnreadableFile(f"The workbook cannot be read: {error}. Save it again, or as CSV.") from error
    except BaseException as error:
        if type(error).__name__ == "PanicException":  # the reader's own crash, derived from BaseException
            raise UnreadableFile("The workbook is broken. Save it again, or as CSV.") from error
        raise
    return ((number, row) for number, row in _texts(sheet.iter_rows()) if any(row))


def _texts(found: Iterable[Iterable[object]]) -> Iterator[tuple[int, list[str]]]:
    for number, cells in enumerate(found, start=1):
        yield number, [_text(cell) for cell in cells]


def _text(cell: object) -> str:
    if isinstance(cell, str):
        if "\0" in cell:
            raise UnreadableFile(NO_TEXT)
        return plain(cell)
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15:
        return str(int(cell))
    if isinstance(cell, bool):
        return str(cell).upper()
    return str(cell)


def _examine(path: Path) -> None:
    try:
        with ZipFile(path) as archive:
            parts = archive.infolist()
            _refuse_strange(parts)
            size = Measure()
            for part in parts:
                if part.filename.endswith((".xml", ".rels")):
                    _measure(archive, part, size)
                else:
                    _unpack(archive, part)
    except (BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, UnicodeDecodeError) as error:
        raise UnreadableFile(f"The workbook is broken: {error}. Save it again, or as CSV.") from error


def _refuse_strange(parts: list[ZipInfo]) -> None:
    names = [part.filename for part in parts]
    if len(parts) > MAX_PARTS:
        raise UnreadableFile(f"The archive has {len(parts):,} parts; a workbook has at most {MAX_PARTS:,}.")
    for name in names:
        if name.startswith(("/", "\\")) or "\\" in name or ":" in name or ".." in name.split("/"):
            raise UnreadableFile(f"The archive has a part named {name!r}, which would lie outside of it.")
    if len({name.casefold() for name in names}) < len(names):
        raise UnreadableFile("The archive has two parts of one name.")
    # Other formats that the reader would try in its place, and that are not measured here.
    if "xl/workbook.xml" not in names or "content.xml" in names or "xl/workbook.bin" in names:
        raise UnreadableFile("This archive is no .xlsx workbook. Load an .xlsx, or CSV as it is or in gzip.")
    if any(part.flag_bits & 1 or part.compress_type not in (STORED, DEFLATED) for part in parts):
        raise UnreadableFile("The workbook is encrypted or packed in an unusual way. Save it again, or as CSV.")
    # What a part says of its size is a promise: unpacking stops there, and the checksum tells when it was a lie.
    unpacked = sum(part.file_size for part in parts)
    if unpacked > MAX_UNPACKED:
        raise UnreadableFile(f"The workbook unpacks to {unpacked:,} bytes; at most {MAX_UNPACKED:,} are read. {AS_CSV}")


def _unpack(archive: ZipFile, part: ZipInfo) -> None:
    with archive.open(part) as file:
        while file.read(BLOCK):
            pass


class Measure:
    """How large the workbook is once laid out, found while its parts go by."""

    def __init__(self) -> None:
        self.strings = 0
        self.column = self.width = self.row = self.height = 0

    def start_part(self) -> None:
        self.column = self.width = self.row = self.height = 0

    def element(self, tag: str, attributes: dict[str, str]) -> None:
        name = tag.rpartition(":")[2]
        if name == "c":
            self._cell(attributes.get("r", ""))
        elif name == "row":
            self._row(attributes.get("r", ""))
        elif name == "si":
            self.strings += 1
            if self.strings > MAX_STRINGS:
                raise UnreadableFile(f"The workbook has more than {MAX_STRINGS:,} different texts. {AS_CSV}")
        elif name == "Relationship" and attributes.get("Type", "").endswith(("/worksheet", "/sharedStrings")):
            _refuse_unmeasured(attributes.get("Target", ""))

    def _row(self, reference: str) -> None:
        self.row = int(reference) if _ROW.fullmatch(reference) else self.row + 1
        self.column = 0
        self._lay_out()

    def _cell(self, reference: str) -> None:
        place = _CELL.fullmatch(reference)
        self.column = _number(place[1]) if place else self.column + 1
        if place:
            self.row = int(place[2])
        self._lay_out()

    def _lay_out(self) -> None:
        self.width, self.height = max(self.width, self.column), max(self.height, self.row)
        if self.width * self.height > MAX_CELLS:
            raise UnreadableFile(
                f"A sheet has {self.height:,} rows and {self.width:,} columns; at most {MAX_CELLS:,} cells are read. "
                f"{AS_CSV}"
            )


_ROW = re.compile(r"[0-9]{1,9}")
_CELL = re.compile(r"([A-Z]{1,3})([0-9]{1,9})")


def _number(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - ord("A") + 1
    return number


def _refuse_unmeasured(target: str) -> None:
    if not target.endswith(".xml"):
        raise UnreadableFile(f"The workbook keeps a sheet in {target!r}, which is no part of that kind.")


def _measure(archive: ZipFile, part: ZipInfo, size: Measure) -> None:
    def refuse_doctype(*declaration: object) -> None:
        raise UnreadableFile("The workbook declares entities, which no spreadsheet does.")

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse_doctype
    parser.StartElementHandler = size.element
    size.start_part()
    try:
        with archive.open(part) as file:
            while block := file.read(BLOCK):
                parser.Parse(block)
            parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise UnreadableFile(f"The workbook is broken: {part.filename}: {error}. Save it again, or as CSV.") from error
