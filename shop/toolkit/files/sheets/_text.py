"""What the cells of a file say: numbers as people write them, and text that a spreadsheet would run as a formula."""

import re
from decimal import Decimal
from pathlib import Path

from shop.toolkit.refusals import Refusal

NO_TEXT = "The file is not text: it has NUL characters. Save the table as CSV or .xlsx."
# The first characters by which a spreadsheet takes a cell for a formula (OWASP, "CSV injection"), also in full width.
_DANGEROUS = frozenset("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
_NUMBER = re.compile(r"[+-]?[0-9]+([.,][0-9]+)?")
_UNITS = re.compile(r"[+-]?[0-9]{1,18}")
# One or two zeros after a point or a comma are a fraction that says nothing; three may be thousands.
_WHOLE = re.compile(r"([+-]?[0-9]{1,18})[.,]0{1,2}")


class UnreadableFile(Refusal):
    """The file is not a table that can be read; the sentence says why and what would be right."""


class InvalidNumber(ValueError):
    """The text is no number of the kind; str() says what would be."""


def occurrences(path: Path, signature: bytes, *, most: int) -> int:
    """Return how often a signature occurs in a file; counting ends once it is more than `most`.

    Archives have one before each of their parts, so this bounds how many there are without opening one.
    """
    count, rest = 0, b""
    with path.open("rb") as file:
        while count <= most and (block := file.read(1 << 20)):
            block = rest + block
            count += block.count(signature)
            rest = block[1 - len(signature) :]
    return count


def defused(text: str) -> str:
    """Return `text` so that no spreadsheet runs it: an apostrophe in front of what looks like a formula.

    Numbers stay numbers. Text that has such an apostrophe already gets one more, so that `plain` finds the original.
    """
    if text.lstrip("'")[:1] not in _DANGEROUS or _NUMBER.fullmatch(text):
        return text
    return f"'{text}"


def plain(text: str) -> str:
    """Return what was defused as it was."""
    if text[:1] == "'" and text.lstrip("'")[:1] in _DANGEROUS:
        return text[1:]
    return text


def units(text: str) -> int:
    """Return a whole number of units. Raises InvalidNumber."""
    if text.isdigit() and text.isascii() and len(text) < 19:
        return int(text)
    if _UNITS.fullmatch(text):
        return int(text)
    if whole := _WHOLE.fullmatch(text):
        return int(whole[1])
    raise InvalidNumber("a whole number is needed, such as 1200, without separators of thousands")


def amount(text: str, *, decimal_mark: str, decimals: int) -> Decimal:
    """Return an amount of money, 0 or more, with the file's decimal mark, in a currency of so many decimals.

    Three digits behind the mark are refused where the currency has not three: they may be thousands. Raises
    InvalidNumber.
    """
    found = re.fullmatch(rf"[0-9]{{1,12}}([{decimal_mark}]([0-9]{{1,6}}))?", text)
    if found is None or (len(found[2] or "") == 3 and decimals != 3):
        said = f"an amount is needed, such as 9{decimal_mark}90, without a currency or separators of thousands"
        raise InvalidNumber(said)
    return Decimal(text.replace(decimal_mark, "."))


def fold(name: str) -> str:
    """Return the name of a column as names are compared: without regard to case, dashes and underscores."""
    return re.sub(r"[ _-]+", " ", name.strip().casefold())
