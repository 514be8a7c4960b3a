"""What Shopify's files call things, and how they tell variants apart.

Sources: Shopify Help Center, "Exporting or importing inventory with a CSV file" and "Using CSV files to import and
export products", with the column names of older exports beside today's.
"""

import re
from collections.abc import Iterable

# Names of columns, folded. Older exports have the first of several, today's the last.
HANDLE = ("handle", "url handle")
OPTION_VALUES = tuple(f"option{number} value" for number in (1, 2, 3))
PRODUCT_QUANTITIES = (("variant sku", "variant inventory qty"), ("sku", "inventory quantity"))
PRODUCT_PRICES = (("variant sku", "variant price"), ("sku", "price"))
DESCRIPTION = ("body (html)", "description")
PUBLISHED = ("published", "published on online store")
INVENTORY_COLUMNS = {"sku", "hs code", "coo"}
ON_HAND = ("on hand (new)", "on hand")
ON_HAND_BEFORE = "on hand (current)"
NOT_STOCKED = "not stocked"
# A product without options has this one for show.
NO_OPTION = "default title"

_OTHER = re.compile(r"[^a-z0-9]+")


def variant_sku(sku: str, handle: str, options: Iterable[str]) -> str:
    """Return the SKU of a variant; one without is named by its handle and options, as in `varsity-top-medium`."""
    if sku:
        return sku
    parts = (_OTHER.sub("-", option.casefold()).strip("-") for option in options if option.casefold() != NO_OPTION)
    return "-".join([handle, *filter(None, parts)])


def variant_name(title: str, options: Iterable[str]) -> str:
    """Return the name of a variant, as in `Varsity Top, Medium`."""
    return ", ".join([title, *(option for option in options if option and option.casefold() != NO_OPTION)])
