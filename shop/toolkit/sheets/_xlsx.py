"""Workbooks. Everything that could blow up is measured while it is unpacked bit by bit, before the reader sees it."""

import re
from collections.abc import Iterator
from pathlib import Path
from xml.parsers import expat
from zipfile import BadZipFile, ZipFile, ZipInfo
from zlib import error as ZlibError  # noqa: N812  # an exception

from python_calamine import CalamineError, CalamineWorkbook

from shop.toolkit.sheets._text import NO_TEXT, UnreadableFile, plain

BLOCK = 1 << 16
MAX_PARTS = 1000
MAX_UNPACKED = 128 << 20
MAX_CELLS = 1_500_000  # rows times columns: the reader lays a sheet out in full, however few cells are filled
MAX_STRINGS = 300_000  # shared ones; a file of that size is one for CSV
STORED, DEFLATED = 0, 8
MAX_TOKEN = 1 << 20
MEASURED, STRINGS = (".xml", ".rels"), "sharedstrings.xml"
AGAIN = "Save it again, or as CSV."
AS_CSV = "Save it as CSV, which has no such limit."


def rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Return the rows of the first sheet as text, with their numbers. Raises UnreadableFile."""
    _examine(path)
    return ((number, row) for number, row in _read(path) if any(row))


def _read(path: Path) -> Iterator[tuple[int, list[str]]]:
    try:
        with path.open("rb") as file:
            sheet = CalamineWorkbook.from_filelike(file).get_sheet_by_index(0)
            for number, cells in enumerate(sheet.iter_rows(), start=1):
                yield number, [_text(cell) for cell in cells]
    except (CalamineError, OSError, ValueError, IndexError, OverflowError) as error:
        raise UnreadableFile(f"The workbook cannot be read: {error}. {AGAIN}") from error
    except BaseException as error:
        if type(error).__name__ == "PanicException":  # the reader's own crash, derived from BaseException
            raise UnreadableFile(f"The workbook is broken. {AGAIN}") from error
        raise


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


# What zipfile, zlib and expat say of files that are none of theirs.
BROKEN = (BadZipFile, ZlibError, OSError, EOFError, NotImplementedError, RuntimeError, LookupError, ValueError)


def _examine(path: Path) -> None:
    try:
        with ZipFile(path) as archive:
            parts = archive.infolist()
            _refuse_strange(parts)
            # Texts first: how long they are tells what the references to them come to.
            parts.sort(key=lambda part: not part.filename.casefold().endswith(STRINGS))
            size = Measure()
            for part in parts:
                if part.filename.casefold().endswith(MEASURED):
                    _measure(archive, part, size)
                else:
                    _unpack(archive, part)
            size.refuse_errors()
    except (
        BadZipFile,
        OSError,
        EOFError,
        ZlibError,
        NotImplementedError,
        RuntimeError,
        LookupError,
        ValueError,
    ) as error:
        raise UnreadableFile(f"The workbook is broken: {error}. {AGAIN}") from error


def _refuse_strange(parts: list[ZipInfo]) -> None:
    names = [part.filename.casefold() for part in parts]  # as the reader finds them
    if len(parts) > MAX_PARTS:
        raise UnreadableFile(f"The archive has {len(parts):,} parts; a workbook has at most {MAX_PARTS:,}.")
    for name in names:
        if name.startswith(("/", "\\")) or "\\" in name or ":" in name or ".." in name.split("/"):
            raise UnreadableFile(f"The archive has a part named {name!r}, which would lie outside of it.")
    if len(set(names)) < len(names):
        raise UnreadableFile("The archive has two parts of one name.")
    if sum(name.endswith(STRINGS) for name in names) > 1:
        raise UnreadableFile("The workbook has two tables of texts.")
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
        self.lengths: list[int] = []  # of the shared texts
        self.characters = 0  # that the cells come to
        self.errors: dict[str, str] = {}  # the first cell with an error, by part
        self.first_sheet = ""
        self.targets: dict[str, str] = {}
        self.start_part("")

    def start_part(self, name: str) -> None:
        self.part = name
        self.column = self.width = self.row = self.height = 0
        self.is_reference = self.is_value = False
        self.value = ""

    def element(self, tag: str, attributes: dict[str, str]) -> None:
        name = tag.rpartition(":")[2]
        if name == "c":
            self._cell(attributes)
        elif name == "v":
            self.is_value, self.value = self.is_reference, ""
        elif name == "row":
            self._row(attributes.get("r"))
        elif name == "si":
            self.lengths.append(0)
            if len(self.lengths) > MAX_STRINGS:
                raise UnreadableFile(f"The workbook has more than {MAX_STRINGS:,} different texts. {AS_CSV}")
        elif name == "sheet" and not self.first_sheet:
            self.first_sheet = next((text for key, text in attributes.items() if key.endswith(":id")), "")
        elif name == "Relationship":
            self._relationship(attributes)

    def text(self, text: str) -> None:
        if self.is_value and len(self.value) < 20:
            self.value += text
        elif self.lengths and self.part.endswith(STRINGS):
            self.lengths[-1] += len(text)

    def end(self, tag: str) -> None:
        if not (self.is_value and tag.rpartition(":")[2] == "v"):
            return
        self.is_value = False
        if self.value.isascii() and self.value.isdigit() and int(self.value) < len(self.lengths):
            self.characters += self.lengths[int(self.value)]
            if self.characters > MAX_UNPACKED:
                raise UnreadableFile(f"The texts of the workbook exceed {MAX_UNPACKED:,} characters. {AS_CSV}")

    def refuse_errors(self) -> None:
        """Refuse a first sheet with a cell such as #REF!, which would be read as empty."""
        place = self.errors.get(self.targets.get(self.first_sheet, ""))
        if place:
            raise UnreadableFile(f"The cell {place} has an error in the place of a value; mend it.")

    def _relationship(self, attributes: dict[str, str]) -> None:
        target = attributes.get("Target", "")
        kind = attributes.get("Type", "").rpartition("/")[2]
        if kind in ("worksheet", "sharedStrings"):
            _refuse_unmeasured(target, STRINGS if kind == "sharedStrings" else ".xml")
            self.targets[attributes.get("Id", "")] = f"xl/{target.casefold().removeprefix('/xl/')}"

    def _row(self, reference: str | None) -> None:
        if reference is not None and not _ROW.fullmatch(reference):
            raise UnreadableFile(f"The workbook numbers a row {reference[:20]!r}, which is no number of a row. {AGAIN}")
        self.row = int(reference) if reference else self.row + 1
        self.column = 0
        self._lay_out()

    def _cell(self, attributes: dict[str, str]) -> None:
        reference, kind = attributes.get("r"), attributes.get("t")
        self.is_reference = kind == "s"
        place = _CELL.fullmatch(reference) if reference else None
        if reference is not None and place is None:
            raise UnreadableFile(f"The workbook names a cell {reference[:20]!r}, which is no name of a cell. {AGAIN}")
        self.column = _number(place[1]) if place else self.column + 1
        if place:
            self.row = int(place[2])
        if kind == "e":
            self.errors.setdefault(self.part, reference or f"number {self.column} in row {self.row}")
        self._lay_out()

    def _lay_out(self) -> None:
        self.width, self.height = max(self.width, self.column), max(self.height, self.row)
        if self.width * self.height > MAX_CELLS:
            raise UnreadableFile(
                f"A sheet has {self.height:,} rows and {self.width:,} columns; at most {MAX_CELLS:,} cells are read. "
                f"{AS_CSV}"
            )


# As Excel writes them, and no other way: the reader takes more than this, and would lay out what was not measured.
_ROW = re.compile(r"[1-9][0-9]{0,6}")
_CELL = re.compile(r"([A-Z]{1,3})([1-9][0-9]{0,6})")


def _number(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - ord("A") + 1
    return number


def _refuse_unmeasured(target: str, ending: str) -> None:
    if not target.casefold().endswith(ending):
        raise UnreadableFile(f"The workbook keeps a sheet or its texts in {target!r}, which is no part of that kind.")


def _measure(archive: ZipFile, part: ZipInfo, size: Measure) -> None:
    def refuse_doctype(*declaration: object) -> None:
        raise UnreadableFile("The workbook declares entities, which no spreadsheet does.")

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = refuse_doctype
    parser.StartElementHandler = size.element
    parser.EndElementHandler = size.end
    parser.CharacterDataHandler = size.text
    size.start_part(part.filename.casefold())
    fed = 0
    try:
        with archive.open(part) as file:
            while block := file.read(BLOCK):
                parser.Parse(block)
                fed += len(block)
                # A token without end is parsed from its beginning with each block.
                if fed - parser.CurrentByteIndex > MAX_TOKEN:
                    raise UnreadableFile(f"The workbook has a tag of more than {MAX_TOKEN:,} bytes. {AGAIN}")
            parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise UnreadableFile(f"The workbook is broken: {part.filename}: {error}. {AGAIN}") from error
