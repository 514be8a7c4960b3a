"""Files that are no stock file, or a broken or hostile one: generated here, each with a part of what must be said."""

import gzip
import io
import random
import struct
import zipfile
from collections.abc import Callable

HEADER = b"sku,quantity\n"
GOOD = HEADER + b"MUG,5\n"

CONTENT_TYPES = b"""<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">
<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>
<Default Extension="xml" ContentType="application/xml"/></Types>"""
RELS = b"""<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">
<Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"
 Target="xl/workbook.xml"/></Relationships>"""
WORKBOOK = b"""<?xml version="1.0"?><workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"
 xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"><sheets>
<sheet name="stock" sheetId="1" r:id="rId1"/></sheets></workbook>"""
_RELATIONSHIP = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/"
WORKBOOK_RELS = f"""<?xml version="1.0"?><Relationships
 xmlns="http://schemas.openxmlformats.org/package/2006/relationships">
<Relationship Id="rId1" Type="{_RELATIONSHIP}worksheet" Target="worksheets/sheet1.xml"/>
<Relationship Id="rId2" Type="{_RELATIONSHIP}sharedStrings" Target="sharedStrings.xml"/></Relationships>""".encode()


def sheet(rows: str, prolog: str = "") -> bytes:
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    return f'<?xml version="1.0"?>{prolog}<worksheet xmlns="{main}"><sheetData>{rows}</sheetData></worksheet>'.encode()


def text_cell(place: str, text: str) -> str:
    return f'<c r="{place}" t="inlineStr"><is><t>{text}</t></is></c>'


HEADER_ROW = f'<row r="1">{text_cell("A1", "sku")}{text_cell("B1", "quantity")}</row>'
GOOD_ROWS = f'{HEADER_ROW}<row r="2">{text_cell("A2", "MUG")}<c r="B2"><v>5</v></c></row>'


def workbook(rows: str = GOOD_ROWS, *, prolog: str = "", more: dict[str, bytes] | None = None) -> bytes:
    parts = {
        "[Content_Types].xml": CONTENT_TYPES,
        "_rels/.rels": RELS,
        "xl/workbook.xml": WORKBOOK,
        "xl/_rels/workbook.xml.rels": WORKBOOK_RELS,
        "xl/worksheets/sheet1.xml": sheet(rows, prolog),
        **(more or {}),
    }
    return archive(parts)


def archive(parts: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in parts.items():
            packed.writestr(name, content)
    return file.getvalue()


def lying(data: bytes, name: bytes) -> bytes:
    """Have the archive say that a part unpacks to 100 bytes."""
    at = data.rindex(b"PK\x01\x02", 0, data.rindex(name))
    data = data[: at + 24] + struct.pack("<I", 100) + data[at + 28 :]
    at = data.index(b"PK\x03\x04", max(0, data.index(name) - 40))
    return data[: at + 22] + struct.pack("<I", 100) + data[at + 26 :]


def encrypted(data: bytes) -> bytes:
    at = data.rindex(b"PK\x01\x02")
    return data[: at + 8] + struct.pack("<H", 1) + data[at + 10 :]


def strings(count: int) -> bytes:
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    return f'<sst xmlns="{main}">{"".join(f"<si><t>{number}</t></si>" for number in range(count))}</sst>'.encode()


def flipped(data: bytes, seed: int, *, times: int = 40) -> bytes:
    """Break some bytes of a file behind its head."""
    chance, broken = random.Random(seed), bytearray(data)
    for _ in range(times):
        broken[chance.randrange(4, len(broken))] = chance.randrange(256)
    return bytes(broken)


WIDE = f'<row r="1">{text_cell("A1", "sku")}</row><row r="1048576">{text_cell("XFD1048576", "x")}</row>'
UNNUMBERED = f"<row>{'<c/>' * 16384}</row>" + "<row><c/></row>" * 2000
ENTITIES = '<!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;&lol;&lol;">]>'

LOWER_CASE = f'{HEADER_ROW}<row r="2"><c r="xfd1048576"><v>1</v></c></row>'
LEADING_ZEROS = f'{HEADER_ROW}<row r="2"><c r="C0000900000"><v>1</v></c></row>'
REFERENCES = HEADER_ROW + "".join(f'<row r="{n}"><c r="A{n}" t="s"><v>0</v></c></row>' for n in range(2, 3000))
LONG_TEXT = (
    f'<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><si><t>{"x" * 100_000}</t></si></sst>'
)
ERROR_CELL = f'{HEADER_ROW}<row r="2">{text_cell("A2", "MUG")}<c r="B2" t="e"><v>#REF!</v></c></row>'
DATE = f'{HEADER_ROW}<row r="2">{text_cell("A2", "MUG")}<c r="B2" s="1"><v>-1e300</v></c></row>'

MALFORMED: dict[str, tuple[bytes, str]] = {
    # no table at all
    "empty": (b"", "empty"),
    "blank lines": (b"\n\r\n\n", "empty"),
    "byte order mark alone": (b"\xef\xbb\xbf", "empty"),
    "separators alone": (b",,,\n,,\n", "empty"),
    "picture": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256)), "not text"),
    "pdf": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<<>>\nendobj\n", "columns %PDF-1.7"),
    "executable": (b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\0>\0", "not text"),
    "json": (b'{"sku": "MUG", "quantity": 5}', "columns"),
    "html": (b"<html><body><table><tr><td>MUG</td></tr></table></body></html>", "columns <html>"),
    "prose": (b"Dear warehouse, we have five mugs.\n", "columns Dear warehouse"),
    "nul in the middle": (HEADER + b"MUG,\x005\n", "not text"),
    "nul far down": (HEADER + b"MUG,5\n" * 400_000 + b"MUG,\x005\n", "not text"),
    "random bytes": (random.Random(1).randbytes(5000), "not text"),
    # encodings
    "neither utf-8 nor windows": (HEADER + b"M\x81G,5\n", "0x81"),
    "utf-16 with half a character": (b"\xff\xfe" + "sku,quantity\n".encode("utf-16-le") + b"\x00", "UTF-16"),
    "utf-16 with half a surrogate": (b"\xff\xfe" + "sku,quantity\n".encode("utf-16-le") + b"\x00\xd8A\x00", "UTF-16"),
    "utf-32": ("sku,quantity\nMUG,5\n".encode("utf-32"), "not text"),
    # headers
    "header alone": (HEADER, "no rows"),
    "header and blank lines": (HEADER + b"\n\n,\n", "no rows"),
    "no header": (b"MUG,5\nPOT,6\n", "no column sku"),
    "no quantity": (b"sku,warehouse\nMUG,MAIN\n", "no column quantity"),
    "misspelled column": (b"sku,quantity,warehose\nMUG,5,MAIN\n", "'warehose' is not known"),
    "column twice": (b"sku,quantity,SKU\nMUG,5,POT\n", "there twice"),
    "a thousand columns": (b"sku,quantity," + b",".join(b"c%d" % n for n in range(1000)) + b"\n", "1,002 columns"),
    "available alone, by location": (b"Handle,Title,SKU,HS Code,COO,Shop,Cellar\nmug,Mug,MUG,,,5,6\n", "per location"),
    # rows
    "unclosed quotes": (HEADER + b'"MUG,5\nPOT,6\n', "unexpected end of data"),
    "text behind quotes": (HEADER + b'"MUG"x,5\n', "Line 2"),
    "cell without end": (HEADER + b'"' + b"x" * 200_000 + b'",5\n', "Line 2: field larger than field limit"),
    "line without end": (HEADER + b"x" * 3_000_000, "more than 1,048,576 characters"),
    "too many cells": (GOOD + b"MUG,5,6\n", "3 cells where the header has 2"),
    "too few cells": (HEADER + b"MUG\n", "1 cells where the header has 2"),
    "no number": (HEADER + b"MUG,five\n", "'five'"),
    "not a number": (HEADER + b"MUG,NaN\n", "'NaN'"),
    "exponent": (HEADER + b"MUG,1e3\n", "'1e3'"),
    "hexadecimal": (HEADER + b"MUG,0x10\n", "'0x10'"),
    "digits of another script": (HEADER + "MUG,\u0665\n".encode(), "'\u0665'"),
    "half a unit": (HEADER + b"MUG,2.5\n", "'2.5'"),
    "thousands": (HEADER + b'MUG,"1,000"\n', "'1,000'"),
    "negative": (HEADER + b"MUG,-5\n", "'-5'"),
    "enormous": (HEADER + b"MUG," + b"9" * 400 + b"\n", "whole number"),
    "formula": (HEADER + b"MUG,=1+1\n", "'=1+1'"),
    "unknown sku": (HEADER + b"' OR 1=1 --,5\n", "no product with the SKU"),
    "same row twice": (GOOD + b"MUG,5\n", "same SKU"),
    "copy's end of data": (HEADER + b"\\.,5\n", "no product with the SKU \\."),
    "a thousand cells in a row": (GOOD + b"," * 1000 + b"\n", "Line 3 has 1,001 columns"),
    "cells of a megabyte": (HEADER + (b'"' + b"x\n" * 60_000 + b'",') * 9 + b"1\n", "row of more than"),
    # gzip
    "gzip cut off": (gzip.compress(GOOD * 1000)[:40], "cannot be unpacked"),
    "gzip with a wrong checksum": (gzip.compress(GOOD)[:-8] + bytes(8), "cannot be unpacked"),
    "gzip of nothing": (gzip.compress(b""), "empty"),
    "gzip in gzip": (gzip.compress(gzip.compress(GOOD)), "archive inside"),
    "gzip of a workbook": (gzip.compress(workbook()), "archive inside"),
    "blank lines without end": (gzip.compress(b"\r\n" * 11_000_000), "lines; load it in parts"),
    "gzip bomb": (gzip.compress(b"a" * 50_000_000), "more than 1,048,576 characters"),
    # workbooks
    "old workbook": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512), ".xls"),
    "zip of a csv": (archive({"levels.csv": GOOD}), "no .xlsx workbook"),
    "document": (archive({"[Content_Types].xml": CONTENT_TYPES, "word/document.xml": b"<w/>"}), "no .xlsx workbook"),
    "open document": (workbook(more={"content.xml": b"<office/>"}), "no .xlsx workbook"),
    "workbook cut off": (workbook()[:-100], "broken"),
    "zip signature alone": (b"PK\x03\x04", "broken"),
    "workbook of flipped bytes": (flipped(workbook(), 3), "workbook"),
    "name outside": (workbook(more={"../../etc/cron.d/x": b""}), "outside"),
    "name from the root": (workbook(more={"/etc/passwd": b""}), "outside"),
    "two parts of one name": (workbook(more={"XL/Workbook.xml": WORKBOOK}), "two parts"),
    "encrypted": (encrypted(workbook()), "encrypted"),
    "too many parts": (workbook(more={f"x/{n}.xml": b"<x/>" for n in range(1200)}), "parts"),
    "unpacks to too much": (workbook(more={"xl/media/zeros.bin": bytes(200_000_000)}), "unpacks to"),
    "lies about its size": (lying(workbook(GOOD_ROWS * 500), b"xl/worksheets/sheet1.xml"), "broken"),
    "a million shared strings": (workbook(more={"xl/sharedStrings.xml": strings(1_000_000)}), "different texts"),
    "one cell far away": (workbook(WIDE), "cells are read"),
    "wide and long without numbers": (workbook(UNNUMBERED), "cells are read"),
    "a cell far away in lower case": (workbook(LOWER_CASE), "no name of a cell"),
    "a cell far away with zeros": (workbook(LEADING_ZEROS), "no name of a cell"),
    "a long text a thousand times": (
        workbook(REFERENCES, more={"xl/sharedStrings.xml": LONG_TEXT.encode()}),
        "exceed 134,217,728 characters",
    ),
    "parts in capitals": (
        archive({"xl/workbook.xml": WORKBOOK, "xl/worksheets/sheet1.XML": sheet(WIDE)}),
        "cells are read",
    ),
    "a tag without end": (workbook(more={"xl/x.xml": b'<a b="' + b"x" * 100_000_000}), "a tag of more than"),
    "an error in a cell": (workbook(ERROR_CELL), "The cell B2 has an error"),
    "an unknown encoding": (workbook(more={"xl/x.xml": b'<?xml version="1.0" encoding="foo"?><a/>'}), "broken"),
    "an encoding of several bytes": (
        workbook(more={"xl/x.xml": b'<?xml version="1.0" encoding="shift_jis"?><a/>'}),
        "broken",
    ),
    "a number beyond all": (workbook(DATE), "whole number"),
    "entities": (workbook(prolog=ENTITIES), "entities"),
    "no xml": (workbook(more={"xl/worksheets/sheet1.xml": b"not xml"}), "broken"),
    "no sheet": (workbook(more={"xl/workbook.xml": b"<workbook><sheets/></workbook>"}), "workbook"),
    "empty sheet": (workbook(""), "empty"),
    "sheet in a folder of its own": (
        workbook(
            more={
                "xl/_rels/workbook.xml.rels": WORKBOOK_RELS.replace(b"worksheets", b"elsewhere"),
                "xl/elsewhere/sheet1.xml": sheet(WIDE),
            }
        ),
        "cannot be read",
    ),
    "rows that are text in another encoding": (
        workbook(
            more={
                "xl/worksheets/sheet1.xml": f"<a>{('<row/>' * 1000).encode().decode('utf-16-le')}</a>".encode("utf-16")
            }
        ),
        "broken",
    ),
    "a column with a long name": (b"sku,quantity," + b"x" * 256 + b"\nMUG,5,\n", "a name has at most 255 characters"),
    "sheet in a strange place": (
        workbook(more={"xl/_rels/workbook.xml.rels": WORKBOOK_RELS.replace(b"sheet1.xml", b"sheet1.bin")}),
        "no part of that kind",
    ),
}


# The parts that the reader of workbooks opens, and where more can be put into each.
_MAIN = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
PARTS = {
    "[Content_Types].xml": (CONTENT_TYPES, b"</Types>"),
    "_rels/.rels": (RELS, b"</Relationships>"),
    "xl/workbook.xml": (WORKBOOK, b"</workbook>"),
    "xl/_rels/workbook.xml.rels": (WORKBOOK_RELS, b"</Relationships>"),
    "xl/styles.xml": (f"<styleSheet {_MAIN}></styleSheet>".encode(), b"</styleSheet>"),
    "xl/sharedStrings.xml": (f"<sst {_MAIN}></sst>".encode(), b"</sst>"),
    "xl/worksheets/sheet1.xml": (sheet(GOOD_ROWS), b"</worksheet>"),
}
SHEET, BOOK = "xl/worksheets/sheet1.xml", "xl/workbook.xml"


def with_more(part: str, content: bytes) -> bytes:
    whole, end = PARTS[part]
    return workbook(more={part: whole.replace(end, content + end)})


def numbered(pattern: bytes, count: int) -> bytes:
    return b"".join(pattern % number for number in range(count))


def cells(cell: str) -> bytes:
    return workbook(f'{HEADER_ROW}<row r="2">{cell}</row>')


MILLION = 1_000_000
# Files of mostly some kilobytes that would take hundreds of megabytes, or minutes, if all of each were read.
HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    **{
        f"nested elements in {part}": (lambda part=part: with_more(part, b"<a>" * 5 * MILLION), "deeper than 100")
        for part in PARTS
    },
    **{
        f"attributes of one element in {part}": (
            lambda part=part: with_more(part, b"<a " + numbered(b"b%x='' ", 90_000) + b"/>"),
            "more than 128 attributes",
        )
        for part in PARTS
    },
    "names of elements without end": (lambda: with_more(SHEET, numbered(b"<a%x/>", 3 * MILLION)), "10,000 names"),
    "names of attributes without end": (
        lambda: with_more(SHEET, numbered(b"<a b%x=''/>", 2 * MILLION)),
        "10,000 names",
    ),
    "long names": (
        lambda: with_more(SHEET, numbered(b"<a%d" + b"x" * 60_000 + b"/>", 1500)),
        "an element with more than 255 characters",
    ),
    "elements without end": (lambda: with_more(SHEET, b"<a/>" * 9 * MILLION), "8,000,000 elements"),
    "text without end": (lambda: with_more(SHEET, b"<a>" + b"x" * 100 * MILLION + b"</a>"), "a text of more than"),
    "a text of a cell without end": (lambda: cells(text_cell("A2", "x" * 100 * MILLION)), "a text of more than"),
    "a text of a cell in pieces": (
        lambda: cells('<c r="A2" t="inlineStr"><is>' + "<r><t>x</t></r>" * 2 * MILLION + "</is></c>"),
        "a text of more than",
    ),
    "a number without end": (lambda: cells('<c r="A2"><v>' + "9" * 100 * MILLION + "</v></c>"), "a text of more than"),
    "a shared text in pieces": (
        lambda: with_more("xl/sharedStrings.xml", b"<si>" + b"<r><t>x</t></r>" * 2 * MILLION + b"</si>"),
        "a text of more than",
    ),
    "a cell again and again": (lambda: cells('<c r="A2"><v>1</v></c>' * 3 * MILLION), "cells are read"),
    "sheets without end": (
        lambda: with_more(BOOK, b'<sheet name="s" sheetId="1" r:id="rId1"/>' * 380_000),
        "more than 100,000 sheets",
    ),
    "names of places without end": (
        lambda: with_more(BOOK, b'<definedName name="a">A</definedName>' * 400_000),
        "more than 100,000 sheets",
    ),
    "a book of names": (
        lambda: with_more(BOOK, (b'<definedName name="a">' + b"A" * 100_000 + b"</definedName>") * 1200),
        "at most 16,777,216 are read",
    ),
    "links without end": (
        lambda: with_more(
            "xl/_rels/workbook.xml.rels", numbered(b'<Relationship Id="r%x" Type="a/b" Target="x"/>', 300_000)
        ),
        "more than 100,000 sheets",
    ),
    "merged cells without end": (
        lambda: with_more(SHEET, b"<mergeCells>" + b'<mergeCell ref="A1:B2"/>' * 4 * MILLION + b"</mergeCells>"),
        "more than 100,000 sheets",
    ),
    "an archive of empty parts": (
        lambda: archive({f"{number}": b"" for number in range(60_000)}),
        "more than 1,000 parts",
    ),
    "a row over lines without end": (
        lambda: gzip.compress(HEADER + (b"," * MILLION + b'"\n"') * 150 + b"\n"),
        "row of more than",
    ),
    "members of gzip without end": (
        lambda: gzip.compress(GOOD) + gzip.compress(b"") * 900_000,
        "more than 100,000 members",
    ),
}
