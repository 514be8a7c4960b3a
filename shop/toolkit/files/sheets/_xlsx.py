"""Workbooks. Everything that could blow up is measured while it is unpacked bit by bit, before the reader sees it.

The reader is given a copy of the parts that were measured, and nothing else: what it finds in an archive that is made
for two opinions is what was measured.
"""

from collections.abc import Iterator
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Any
from zipfile import BadZipFile, ZipFile, ZipInfo
from zlib import error as ZlibError  # noqa: N812  # an exception

from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook

from shop.toolkit.files.sheets._measure import AGAIN, AS_CSV, BLOCK, STRINGS, Measure
from shop.toolkit.files.sheets._text import NO_TEXT, UnreadableFile, occurrences, plain

MAX_PARTS, MAX_NAME = 1000, 255
MAX_UNPACKED = 128 << 20
MAX_KEPT = 16 << 20  # of a part that the reader keeps whole beside the sheets and their texts
STORED, DEFLATED = 0, 8
# Drawings, pivot tables and what programs keep for themselves say nothing of the cells.
FOLDERS, READ = ("", "_rels/", "xl/", "xl/_rels/", "xl/worksheets/"), (".xml", ".rels")
KEPT = ("workbook.xml", "styles.xml", ".rels")
ENTRY = b"PK\x01\x02"  # before each part in the archive's directory
# What zipfile, zlib and expat say of files that are none of theirs.
BROKEN = (BadZipFile, ZlibError, OSError, EOFError, NotImplementedError, RuntimeError, LookupError, ValueError)


def rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of the first sheet that say something as text, with their numbers. Raises UnreadableFile."""
    with NamedTemporaryFile(suffix=".xlsx") as copy:
        _copy_measured(path, copy)
        copy.flush()
        sheet = _first_sheet(copy.name)
    for number, cells in enumerate(_laid_out(sheet), start=1):
        row = [_text(cell) for cell in cells]
        if any(row):
            yield number, row


def _first_sheet(path: str) -> CalamineSheet:
    try:
        return CalamineWorkbook.from_path(path).get_sheet_by_index(0)
    except (CalamineError, OSError, ValueError, IndexError, OverflowError) as error:
        raise UnreadableFile(f"The workbook cannot be read: {error}. {AGAIN}") from error
    except BaseException as error:
        _refuse_crash(error)
        raise


def _laid_out(sheet: CalamineSheet) -> Iterator[list[Any]]:
    try:
        yield from sheet.iter_rows()
    except (CalamineError, OSError, ValueError, IndexError, OverflowError) as error:
        raise UnreadableFile(f"The workbook cannot be read: {error}. {AGAIN}") from error
    except BaseException as error:
        _refuse_crash(error)
        raise


def _refuse_crash(error: BaseException) -> None:
    if type(error).__name__ == "PanicException":  # the reader's own crash, derived from BaseException
        raise UnreadableFile(f"The workbook is broken. {AGAIN}") from error


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


def _copy_measured(path: Path, target: IO[bytes]) -> None:
    """Write a workbook to `target` that has the measured parts of this one, unpacked."""
    # The directory is read as a whole by whoever opens the archive.
    if occurrences(path, ENTRY, most=MAX_PARTS) > MAX_PARTS:
        raise UnreadableFile(f"The archive has more than {MAX_PARTS:,} parts, which no workbook has.")
    try:
        with ZipFile(path) as archive, ZipFile(target, "w") as copy:
            parts = archive.infolist()
            _refuse_strange(parts)
            size = Measure()
            # Texts first: how long they are tells what the references to them come to.
            for part in sorted(filter(_is_read, parts), key=lambda part: not _name(part).endswith(STRINGS)):
                with archive.open(part) as file, copy.open(part.filename, "w") as copied:
                    size.read(_copied(file, copied), part.filename)
            size.refuse_errors()
    except BROKEN as error:
        raise UnreadableFile(f"The workbook is broken: {error}. {AGAIN}") from error


def _copied(file: IO[bytes], target: IO[bytes]) -> Iterator[bytes]:
    while block := file.read(BLOCK):
        target.write(block)
        yield block


def _name(part: ZipInfo) -> str:
    return part.filename.casefold()  # as the reader finds it


def _is_read(part: ZipInfo) -> bool:
    folder, slash, name = _name(part).rpartition("/")
    return folder + slash in FOLDERS and name.endswith(READ)


def _refuse_strange(parts: list[ZipInfo]) -> None:
    names = [_name(part) for part in parts]
    for name in names:
        if (
            len(name) > MAX_NAME
            or name.startswith(("/", "\\"))
            or "\\" in name
            or ":" in name
            or ".." in name.split("/")
        ):
            raise UnreadableFile(f"The archive has a part named {name[:80]!r}, which would lie outside of it.")
    if len(set(names)) < len(names):
        raise UnreadableFile("The archive has two parts of one name.")
    if sum(name.endswith(STRINGS) for name in names) > 1:
        raise UnreadableFile("The workbook has two tables of texts.")
    # Other formats that the reader would try in its place, and that are not measured here.
    if "xl/workbook.xml" not in names or "content.xml" in names or "xl/workbook.bin" in names:
        raise UnreadableFile("This archive is no .xlsx workbook. Load an .xlsx, or CSV as it is or in gzip.")
    if any(part.flag_bits & 1 or part.compress_type not in (STORED, DEFLATED) for part in parts):
        raise UnreadableFile("The workbook is encrypted or packed in an unusual way. Save it again, or as CSV.")
    _refuse_large(parts)


def _refuse_large(parts: list[ZipInfo]) -> None:
    """Judge what the parts say of their sizes: unpacking stops there, and the checksum tells when it was a lie."""
    unpacked = sum(part.file_size for part in parts)
    if unpacked > MAX_UNPACKED:
        raise UnreadableFile(f"The workbook unpacks to {unpacked:,} bytes; at most {MAX_UNPACKED:,} are read. {AS_CSV}")
    for part in parts:
        if _name(part).endswith(KEPT) and part.file_size > MAX_KEPT:
            raise UnreadableFile(
                f"{part.filename} unpacks to {part.file_size:,} bytes; at most {MAX_KEPT:,} are read. {AS_CSV}"
            )
