import csv
import gzip
import hashlib
import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE, getincrementaldecoder
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import TextIOWrapper
from itertools import chain, count
from pathlib import Path
from typing import IO, cast
from zlib import error as ZlibError  # noqa: N812  # an exception

from shop.toolkit.files.sheets import _xlsx
from shop.toolkit.files.sheets._text import NO_TEXT, UnreadableFile, fold, occurrences, plain

BLOCK = 1 << 20
MAX_LINE = 1 << 20  # characters
MAX_LINES = 10_000_000
MAX_COLUMNS, MAX_NAME = 200, 255
SAMPLE_ROWS, SAMPLE_CHARACTERS = 200, 1 << 20
SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
ENCODINGS = {
    "utf-8-sig": "UTF-8 with a byte order mark",
    "utf-8": "UTF-8",
    "utf-16": "UTF-16",
    "utf-16-le": "UTF-16",
    "utf-16-be": "UTF-16",
    "cp1252": "Windows-1252",
}
MEMBER, MAX_MEMBERS = b"\x1f\x8b\x08", 100_000  # of gzip
GZIP, ZIP, OLD_OFFICE = b"\x1f\x8b", b"PK\x03\x04", b"\xd0\xcf\x11\xe0"

Row = tuple[int, list[str]]  # the line it begins on, its cells


@dataclass(frozen=True)
class Sheet:
    """A table: its column names, its rows, and a sentence on how the file was understood."""

    columns: list[str]
    rows: Iterator[Row]
    decimal_mark: str
    understood_as: str


def fingerprint(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def open_sheet(path: Path, *, max_bytes: int, max_lines: int = MAX_LINES) -> Iterator[Sheet]:
    """Yield the table in a file, whose kind, encoding, separator and decimal mark are found out.

    `max_bytes` bounds what the file may unpack to, `max_lines` how many lines a CSV file may have. Raises
    UnreadableFile, now or while the rows are read.
    """
    with path.open("rb") as file:
        kind = file.read(4)
        file.seek(0)
        if kind.startswith(OLD_OFFICE):
            raise UnreadableFile("This is an old (.xls) or encrypted workbook; save it as .xlsx or CSV.")
        if kind.startswith(ZIP):
            yield _workbook(path)
        elif kind.startswith(GZIP):
            # Each costs the time of thousands of bytes, and may hold nothing.
            if occurrences(path, MEMBER, most=MAX_MEMBERS) > MAX_MEMBERS:
                raise UnreadableFile(f"The archive has more than {MAX_MEMBERS:,} members; pack the file as one.")
            with gzip.open(file) as unpacked:
                yield _csv(_Bounded(unpacked, max_bytes, max_lines), "gzip, ")
        else:
            yield _csv(_Bounded(file, max_bytes, max_lines), "")


class _Bounded:
    """A binary file that ends in UnreadableFile instead of going on past so many bytes or lines."""

    def __init__(self, file: IO[bytes] | gzip.GzipFile, max_bytes: int, max_lines: int) -> None:
        self._file, self._limit, self._max_lines = file, max_bytes, max_lines

    def blocks(self) -> Iterator[bytes]:
        self._file.seek(0)
        read = 0
        while block := self._read():
            read += len(block)
            if read > self._limit:
                raise UnreadableFile(f"The file unpacks to more than {self._limit:,} bytes; load it in parts.")
            yield block
        self._file.seek(0)

    def _read(self) -> bytes:
        try:
            return self._file.read(BLOCK)
        except (OSError, EOFError, ZlibError) as error:
            raise UnreadableFile(f"The file is broken: it cannot be unpacked ({error}).") from error

    def lines(self, encoding: str) -> Iterator[str]:
        self._file.seek(0)
        text = TextIOWrapper(cast("IO[bytes]", self._file), encoding=encoding, newline="")
        try:
            for number in count(1):
                line = text.readline(MAX_LINE)
                if not line:
                    return
                if number > self._max_lines:
                    raise UnreadableFile(f"The file has more than {self._max_lines:,} lines; load it in parts.")
                if len(line) == MAX_LINE:
                    raise UnreadableFile(f"The file has a line of more than {MAX_LINE:,} characters: it is no table.")
                if "\0" in line:
                    raise UnreadableFile(NO_TEXT)
                yield line
        finally:
            if not self._file.closed:
                text.detach()  # the file is not this generator's to close


def _csv(file: _Bounded, kind: str) -> Sheet:
    encoding = _encoding(file)
    lines = file.lines(encoding)
    blank, head = 0, ""
    for line in lines:  # up to the first one that says something
        if line.strip():
            head = line
            break
        blank += 1
    separator = _separator(head)
    rows = _csv_rows(chain([head], lines), separator, before=blank)
    _, header = next(rows, (0, []))
    if not header:
        raise UnreadableFile("The file is empty; its first line must name the columns.")
    sample = _sample(rows)
    mark = _decimal_mark(cell for _, cells in sample for cell in cells)
    said = f"CSV, {kind}{ENCODINGS[encoding]}, separated by {SEPARATORS[separator]}, decimal {_MARKS[mark]}"
    return Sheet(_columns(header), chain(sample, rows), mark, said)


def _sample(rows: Iterator[Row]) -> list[Row]:
    sample: list[Row] = []
    characters = 0
    for row in rows:
        sample.append(row)
        characters += sum(map(len, row[1]))
        if len(sample) == SAMPLE_ROWS or characters > SAMPLE_CHARACTERS:
            break
    return sample


def _encoding(file: _Bounded) -> str:
    """Return the encoding of the text. All of it is read: the one byte that is no UTF-8 may be the last."""
    blocks = file.blocks()
    first = next(blocks, b"")
    if first.startswith((GZIP, ZIP)):
        raise UnreadableFile("There is an archive inside the archive; only CSV is read from gzip.")
    if first.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        return _checked("utf-16", first, blocks)
    if first.startswith(BOM_UTF8):
        return _checked("utf-8-sig", first, blocks)
    if b"\0" in first:
        return _checked(_utf16_without_mark(first[:4096]), first, blocks)
    is_utf8, decoder = True, getincrementaldecoder("utf-8")()
    for block in chain([first], blocks):
        if b"\0" in block:
            raise UnreadableFile(NO_TEXT)
        if is_utf8:
            try:
                decoder.decode(block)
            except UnicodeDecodeError:
                is_utf8 = False
    # Text cut in the middle of a character is no UTF-8 either.
    is_utf8 = is_utf8 and not decoder.getstate()[0]
    return "utf-8" if is_utf8 else _checked("cp1252", b"", file.blocks())


def _utf16_without_mark(sample: bytes) -> str:
    """Tell by the places of the NULs, which ASCII has in every second byte of UTF-16."""
    odd, even = sample[1::2].count(0), sample[0::2].count(0)
    if max(odd, even) * 5 < len(sample) or min(odd, even) * 10 > max(odd, even):
        raise UnreadableFile(NO_TEXT)
    return "utf-16-le" if odd > even else "utf-16-be"


def _checked(encoding: str, first: bytes, blocks: Iterable[bytes]) -> str:
    decoder = getincrementaldecoder(encoding)()
    try:
        for block in chain([first], blocks):
            decoder.decode(block)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        odd = f"{error.object[error.start]:#04x}"
        raise UnreadableFile(
            f"The text is neither UTF-8 nor {ENCODINGS[encoding]} (a byte {odd} is neither); save the file as UTF-8."
        ) from error
    return encoding


def _separator(head: str) -> str:
    """Return the separator that finds most columns in the first line."""
    if declared := re.fullmatch(r"sep=([,;\t|])\s*", head, re.IGNORECASE):
        return declared[1]
    return max(SEPARATORS, key=lambda separator: _width(head, separator))


def _width(head: str, separator: str) -> int:
    try:
        return len(next(csv.reader([head], delimiter=separator)))
    except csv.Error:
        return 0


def _csv_rows(lines: Iterator[str], separator: str, *, before: int) -> Iterator[Row]:
    """Yield rows that say something, numbered from the line behind `before`."""
    bounded = _BoundedRows(lines)
    reader, first = csv.reader(bounded, delimiter=separator, strict=True), before
    try:
        for cells in reader:
            bounded.characters = 0
            line, before = before + 1, first + reader.line_num
            if len(cells) > MAX_COLUMNS:
                raise UnreadableFile(f"Line {line} has {len(cells):,} columns; at most {MAX_COLUMNS} are read.")
            if any(cells) and not (line == first + 1 and _SEP.fullmatch(separator.join(cells))):
                yield line, [plain(cell) if cell[:1] == "'" else cell for cell in cells]
    except _RowTooLong as error:
        said = f"Line {before + 1} begins a row of more than {MAX_LINE:,} characters: it is no table."
        raise UnreadableFile(said) from error
    except csv.Error as error:
        raise UnreadableFile(
            f"Line {before + 1}: {error}. A cell with quotes is written in quotes, each of its own doubled."
        ) from error


class _RowTooLong(Exception):
    pass


class _BoundedRows:
    """Lines for the csv module, which makes all cells of a row before it shows any, over as many lines as it takes.

    Whoever takes a row from it sets `characters`, those of the row that is being read, back to 0.
    """

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines, self.characters = lines, 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.characters += len(line)
        if self.characters > MAX_LINE:
            raise _RowTooLong
        return line


_SEP = re.compile(r"sep=.?", re.IGNORECASE)
_MARKS = {".": "point", ",": "comma"}
# Not three digits: those may be thousands.
_FRACTION = re.compile(r"-?[0-9]+([.,])([0-9]{1,2}|[0-9]{4,})")


def _decimal_mark(cells: Iterable[str]) -> str:
    """Return the mark that more of the cells with a fraction have."""
    marks = [found[1] for cell in cells if (found := _FRACTION.fullmatch(cell))]
    return "," if marks.count(",") > marks.count(".") else "."


def _columns(header: list[str]) -> list[str]:
    columns = [name.strip() for name in header]
    while columns and not columns[-1]:
        columns.pop()
    if not columns:
        raise UnreadableFile("The first line names no columns.")
    if len(columns) > MAX_COLUMNS:
        raise UnreadableFile(f"The file has {len(columns):,} columns; at most {MAX_COLUMNS} are read.")
    if long := next((name for name in columns if len(name) > MAX_NAME), None):
        raise UnreadableFile(f"A column is named {long[:40]!r} and so on; a name has at most {MAX_NAME} characters.")
    names = [fold(name) for name in columns]
    twice = sorted(column for column, name in zip(columns, names, strict=True) if name and names.count(name) > 1)
    if twice:
        raise UnreadableFile(f"The column {twice[0]} is there twice; which of them counts?")
    return columns


def _workbook(path: Path) -> Sheet:
    rows = _xlsx.rows(path)
    _, header = next(rows, (0, []))
    if not header:
        raise UnreadableFile("The first sheet of the workbook is empty; its first row must name the columns.")
    return Sheet(_columns(header), rows, ".", "XLSX, first sheet")
