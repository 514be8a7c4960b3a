"""Which text is a SKU, and when two of them are the same one."""

import re
import unicodedata

MAX_SKU = 64
MAX_KEY = 3 * MAX_SKU  # folding makes at most three characters of one
# Characters that show nothing although they are letters, marks or signs: fillers, variation selectors, the blank of
# Braille (Default_Ignorable_Code_Point, beside the format characters below).
BLANKS = r"\u034f\u115f-\u1160\u17b4-\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef"
# Those, control and format characters, line separators, and spaces other than U+0020, as of Unicode 14. Python and
# PostgreSQL read this pattern alike, so that the database refuses what we do.
INVISIBLE = (
    rf"[{BLANKS}"
    r"\u0001-\u001f\u007f-\u00a0\u00ad\u0600-\u0605\u061c\u06dd\u070f\u0890-\u0891\u08e2\u1680\u180e\u2000-\u200f"
    r"\u2028-\u202f\u205f-\u2064\u2066-\u206f\u3000\ufeff\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U00013438"
    r"\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0001\U000e0020-\U000e007f]"
)
NOT_CLEAN = rf"{INVISIBLE}|^ | $|  "
_blank = re.compile(f"[{BLANKS}]")
_not_clean = re.compile(rf"\0|{NOT_CLEAN}")


def normal(sku: str) -> str:
    """Return a SKU in Unicode's composed form (NFC), in which it is kept."""
    return unicodedata.normalize("NFC", sku)


def sku_key(sku: str) -> str:
    """Return what two spellings of one SKU have in common: they differ in case at most. Unique in the database."""
    if sku.isascii():
        return sku.lower()
    return normal(normal(sku).casefold())


def fault_of(sku: str) -> str | None:
    """Return what is wrong with a SKU, None for a good one of 1 to 64 characters."""
    if not sku:
        return "a SKU is needed"
    if len(sku) > MAX_SKU:
        return f"a SKU has at most {MAX_SKU} characters"
    found = _not_clean.search(sku)
    if not found:
        return None
    if found[0].isspace() and found[0].strip("\t\n\r\v\f\x1c\x1d\x1e\x1f"):
        return "a SKU has single spaces, and inside of it only"
    return f"a SKU has no invisible characters; take out the one at place {found.start() + 1} (U+{ord(found[0]):04X})"


def from_cell(cell: str) -> str:
    """Return the SKU that a file's cell means: without characters that nobody sees, and with single spaces.

    Spreadsheets and web pages add both, and nobody sees them. What is longer than any SKU is returned as it is.
    """
    if cell.isascii() and cell.isprintable() and "  " not in cell:
        return cell.strip()
    if len(cell) > 4 * MAX_SKU:
        return cell
    visible = "".join(letter for letter in _blank.sub("", cell) if unicodedata.category(letter) != "Cf")
    return normal(" ".join(visible.split()))
