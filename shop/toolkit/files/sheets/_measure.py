"""Bounds on the parts of a workbook, kept while they are unpacked bit by bit, before the reader sees any of them."""

import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterable
from functools import cache
from xml.parsers import expat

from shop.toolkit.files.sheets._text import UnreadableFile

BLOCK = 1 << 16
MAX_CELLS = 1_500_000  # rows times columns: the reader lays a sheet out in full, however few cells are filled
MAX_STRINGS = 300_000  # shared ones; a file of that size is one for CSV
MAX_CHARACTERS = 128 << 20  # in all cells
MAX_TEXT = 131_072  # characters of one text; the csv module has the same bound for a cell
# Parsers keep the open elements, the distinct names and the attributes of an element in memory. A tag costs three bytes
# unpacked, and next to nothing packed.
MAX_DEPTH = 100
MAX_NAMES, MAX_NAME = 10_000, 255
MAX_ATTRIBUTES = 128
MAX_TOKEN = 1 << 20  # bytes
MAX_ELEMENTS = 8_000_000  # four for each cell, and the texts; they cost time only
MAX_LISTED = 100_000  # of what the reader keeps a list of
LISTED = frozenset({"sheet", "definedName", "Relationship", "numFmt", "xf", "mergeCell"})
UTF16 = (BOM_UTF16_LE, BOM_UTF16_BE)
STRINGS = "sharedstrings.xml"
AGAIN = "Save it again, or as CSV."
AS_CSV = "Save it as CSV, which has no such limit."
# As Excel writes them, and no other way: the reader takes more than this, and would lay out what was not measured.
_ROW = re.compile(r"[1-9][0-9]{0,6}")
_CELL = re.compile(r"([A-Z]{1,3})([1-9][0-9]{0,6})")


class Measure:
    """How large a workbook is once laid out, found while its parts go by. Raises UnreadableFile past any bound."""

    def __init__(self) -> None:
        self.lengths: list[int] = []  # of the shared texts
        self.characters = 0  # that the cells come to
        self.elements = self.listed = 0
        self.errors: dict[str, str] = {}  # the first cell with an error, by part
        self.first_sheet = ""
        self.targets: dict[str, str] = {}

    def read(self, blocks: Iterable[bytes], name: str) -> None:
        """Parse a part that comes in blocks and count what is in it."""
        self._start_part(name.casefold())
        # As the reader takes it, and nothing else: else each of the two would read other elements.
        parser = expat.ParserCreate("UTF-8")
        parser.buffer_text = True
        parser.XmlDeclHandler = _refuse_encoding
        parser.StartDoctypeDeclHandler = _refuse_doctype
        parser.StartElementHandler = self._element
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        fed = 0
        try:
            for block in blocks:
                if not fed and (block.startswith(UTF16) or b"\0" in block[:4]):
                    _refuse_encoding("", "utf-16", 0)
                parser.Parse(block)
                fed += len(block)
                # A token without end is parsed from its beginning with each block.
                if fed - parser.CurrentByteIndex > MAX_TOKEN:
                    raise UnreadableFile(f"The workbook has a tag of more than {MAX_TOKEN:,} bytes. {AGAIN}")
            parser.Parse(b"", True)
        except expat.ExpatError as error:
            raise UnreadableFile(f"The workbook is broken: {name}: {error}. {AGAIN}") from error

    def refuse_errors(self) -> None:
        """Refuse a first sheet with a cell such as #REF!, which would be read as empty."""
        place = self.errors.get(self.targets.get(self.first_sheet, ""))
        if place:
            raise UnreadableFile(f"The cell {place} has an error in the place of a value; mend it.")

    def _start_part(self, part: str) -> None:
        self.part = part
        self.names: dict[str, str] = {}  # of elements and attributes, each without its prefix
        self.depth = self.length = 0
        self.column = self.width = self.row = self.height = self.cells = 0
        self.is_reference = self.is_value = self.is_in_cell = False
        self.value = ""

    def _element(self, tag: str, attributes: dict[str, str]) -> None:
        self.depth += 1
        self.elements += 1
        if not self.is_in_cell:
            self.length = 0
        if self.depth > MAX_DEPTH or self.elements > MAX_ELEMENTS or len(attributes) > MAX_ATTRIBUTES:
            self._refuse_structure()
        if tag not in self.names or not attributes.keys() <= self.names.keys():
            self._add_names(tag, *attributes)
        name = self.names[tag]
        if name == "c":
            self._cell(attributes)
        elif name == "v":
            self.is_value, self.value = self.is_reference, ""
        elif name == "row":
            self._row(attributes.get("r"))
        elif name == "si":
            self._shared_text()
        elif name in LISTED:
            self._list(name, attributes)

    def _refuse_structure(self) -> None:
        if self.depth > MAX_DEPTH:
            raise UnreadableFile(f"The workbook has elements nested deeper than {MAX_DEPTH} levels. {AGAIN}")
        if self.elements > MAX_ELEMENTS:
            raise UnreadableFile(f"The workbook has more than {MAX_ELEMENTS:,} elements. {AS_CSV}")
        raise UnreadableFile(f"The workbook has an element of more than {MAX_ATTRIBUTES} attributes. {AGAIN}")

    def _add_names(self, *names: str) -> None:
        for name in names:
            if len(name) > MAX_NAME:
                raise UnreadableFile(f"The workbook names an element with more than {MAX_NAME} characters. {AGAIN}")
            self.names[name] = name.rpartition(":")[2]
        if len(self.names) > MAX_NAMES:
            raise UnreadableFile(f"The workbook has more than {MAX_NAMES:,} names of elements. {AGAIN}")

    def _text(self, text: str) -> None:
        self.length += len(text)
        if self.length > MAX_TEXT:
            raise UnreadableFile(f"The workbook has a text of more than {MAX_TEXT:,} characters; a cell has no more.")
        if self.is_value and len(self.value) < 20:
            self.value += text[:20]
        elif self.lengths and self.part.endswith(STRINGS):
            self.lengths[-1] += len(text)

    def _end(self, tag: str) -> None:
        self.depth -= 1
        name = self.names[tag]
        if name == "v":
            self._value()
        elif name in ("c", "si"):
            self.is_in_cell = False
        if not self.is_in_cell:
            self.length = 0

    def _value(self) -> None:
        if not self.is_value:
            return
        self.is_value = False
        if self.value.isascii() and self.value.isdigit() and int(self.value) < len(self.lengths):
            self.characters += self.lengths[int(self.value)]
            if self.characters > MAX_CHARACTERS:
                raise UnreadableFile(f"The texts of the workbook exceed {MAX_CHARACTERS:,} characters. {AS_CSV}")

    def _shared_text(self) -> None:
        self.is_in_cell, self.length = True, 0
        self.lengths.append(0)
        if len(self.lengths) > MAX_STRINGS:
            raise UnreadableFile(f"The workbook has more than {MAX_STRINGS:,} different texts. {AS_CSV}")

    def _list(self, name: str, attributes: dict[str, str]) -> None:
        self.listed += 1
        if self.listed > MAX_LISTED:
            raise UnreadableFile(
                f"The workbook has more than {MAX_LISTED:,} sheets, names, formats, merged cells and links. {AS_CSV}"
            )
        if name == "sheet" and not self.first_sheet:
            self.first_sheet = next((text for key, text in attributes.items() if key.endswith(":id")), "")
        elif name == "Relationship":
            self._relationship(attributes)

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
        self.is_in_cell, self.length = True, 0
        self.is_reference = kind == "s"
        place = _CELL.fullmatch(reference) if reference else None
        if reference is not None and place is None:
            raise UnreadableFile(f"The workbook names a cell {reference[:20]!r}, which is no name of a cell. {AGAIN}")
        self.cells += 1
        self.column = _number(place[1]) if place else self.column + 1
        if place:
            self.row = int(place[2])
        if kind == "e":
            self.errors.setdefault(self.part, reference or f"number {self.column} in row {self.row}")
        self._lay_out()

    def _lay_out(self) -> None:
        # Before anything else: nearly all cells lie within what was laid out already.
        if self.column <= self.width and self.row <= self.height and self.cells <= MAX_CELLS:
            return
        self.width, self.height = max(self.width, self.column), max(self.height, self.row)
        # A cell may be there more than once; the reader keeps each.
        if self.width * self.height > MAX_CELLS or self.cells > MAX_CELLS:
            raise UnreadableFile(
                f"A sheet has {self.height:,} rows and {self.width:,} columns; at most {MAX_CELLS:,} cells are read. "
                f"{AS_CSV}"
            )


@cache  # of one to three letters there are few
def _number(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - ord("A") + 1
    return number


def _refuse_unmeasured(target: str, ending: str) -> None:
    if not target.casefold().endswith(ending):
        raise UnreadableFile(
            f"The workbook keeps a sheet or its texts in {target[:80]!r}, which is no part of that kind."
        )


def _refuse_encoding(version: str, encoding: str | None, standalone: int) -> None:
    if encoding is not None and encoding.casefold() != "utf-8":
        raise UnreadableFile(f"The workbook is broken: a part of it says it is {encoding[:20]!r}, not UTF-8. {AGAIN}")


def _refuse_doctype(*declaration: object) -> None:
    raise UnreadableFile("The workbook declares entities, which no spreadsheet does.")
