"""Product files: which column holds which field, and how a row is parsed."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from products.models import MAX_DESCRIPTION, MAX_NAME
from shop.toolkit import money, skus
from shop.toolkit.files import shopify
from shop.toolkit.files.sheets import (
    InvalidNumber,
    Layout,
    RefusedRow,
    Sheet,
    amount,
    by_mapping,
    by_name,
    folded,
    open_sheet,
)
from shop.toolkit.plurals import counted

REQUIRED = ("sku", "name", "price")
OPTIONAL = ("currency", "description", "is_active")
FLAGS = {"true": True, "yes": True, "1": True, "active": True,
         "false": False, "no": False, "0": False, "draft": False, "archived": False, "unlisted": False}  # fmt: skip


@dataclass(frozen=True)
class ProductFile:
    """How to read a file: `currency` is for prices without one, `mapping` has the field of each column."""

    path: Path
    max_bytes: int
    currency: str
    mapping: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """A product in a file. None means that the file does not say: the value stays, or is the default if new."""

    line: int
    sku: str
    name: str
    price: Decimal
    currency: str | None
    description: str | None
    is_active: bool | None
    is_tidied: bool  # whether invisible characters or spaces were removed from its SKU

    @property
    def content(self) -> tuple[object, ...]:
        """What must be equal in all rows of one SKU."""
        return self.name, self.price, self.currency, self.description, self.is_active


@dataclass(frozen=True)
class Catalogue:
    """An open file and its layout. `rows` yields the cells of each row with its product, its refusal, or None."""

    layout: Layout
    understood_as: str
    rows: Iterator[tuple[list[str], Row | RefusedRow | None]]


class _Fault(Exception):
    def __init__(self, field: str, said: str) -> None:
        super().__init__(said)
        self.field = field


@contextmanager
def read_catalogue(file: ProductFile) -> Iterator[Catalogue]:
    """Open a CSV or .xlsx file of products in the own layout, in Shopify's, or in the mapped one.

    A row that repeats an earlier row of its SKU is None, and so is a row without a product. A row that contradicts an
    earlier one is refused. The rows read stay in memory, a few hundred bytes each. Raises UnreadableFile, also while
    rows are read.
    """
    with open_sheet(file.path, max_bytes=file.max_bytes) as sheet:
        layout = _recognize(sheet.columns, file.mapping)
        reader = _Reader(layout, sheet.decimal_mark, file.currency)
        yield Catalogue(layout, f"{sheet.understood_as}; {layout.sentence}", reader.rows(sheet))


def _recognize(columns: Sequence[str], mapping: Mapping[str, str]) -> Layout:
    if mapping:
        return by_mapping(columns, mapping, required=REQUIRED, optional=OPTIONAL)
    return _shopify(columns) or by_name(columns, required=REQUIRED, optional=OPTIONAL, ignored=())


def _shopify(columns: Sequence[str]) -> Layout | None:
    named = folded(columns)
    handle = next((named[name] for name in shopify.HANDLE if name in named), None)
    found = next((pair for pair in shopify.PRODUCT_PRICES if named.keys() >= {*pair, "title"}), None)
    if handle is None or found is None:
        return None
    columns_of = {"sku": found[:1], "name": ("title",), "price": found[1:], "description": shopify.DESCRIPTION,
                  "is_active": shopify.PUBLISHED, "status": ("status",)}  # fmt: skip
    places = {field: named[name] for field, names in columns_of.items() for name in names if name in named}
    options = [named[name] for name in shopify.OPTION_VALUES if name in named]
    return Layout("Shopify's product file", list(columns), places, handle, options)


class _Reader:
    """Parses row by row. Remembers the product of the current variants, and the first row of each SKU."""

    def __init__(self, layout: Layout, decimal_mark: str, currency: str) -> None:
        self._layout, self._mark, self._currency = layout, decimal_mark, currency
        self._first: dict[str, Row] = {}
        self._parent: tuple[str, dict[str, str]] = ("", {})

    def rows(self, sheet: Sheet) -> Iterator[tuple[list[str], Row | RefusedRow | None]]:
        for line, cells in sheet.rows:
            try:
                yield cells, self._read(line, cells)
            except _Fault as fault:
                yield cells, self._layout.refused(line, cells, fault.field, str(fault))

    def _read(self, line: int, cells: list[str]) -> Row | None:
        if said := self._layout.misfit(cells):
            raise _Fault("row", said)
        texts = {name: cells[place].strip() for name, place in self._layout.places.items()}
        if self._layout.handle is not None:
            found = self._variant(texts, cells)
            if found is None:
                return None
            texts = found
        row = self._row(line, texts)
        first = self._first.setdefault(skus.sku_key(row.sku), row)
        if first is row:
            return row
        if first.content == row.content:
            return None
        raise _Fault(
            "sku", f"line {first.line} has the same SKU with other data, and takes precedence; use another SKU here"
        )

    def _variant(self, texts: dict[str, str], cells: list[str]) -> dict[str, str] | None:
        """Return the row completed from the first row of its product; None for a row that only has images."""
        assert self._layout.handle is not None, "only files with handles have variants"
        handle = cells[self._layout.handle].strip()
        options = [cells[place].strip() for place in self._layout.options]
        if handle != self._parent[0]:
            self._parent = (handle, texts)
        if not (texts["sku"] or texts["price"] or any(options)):
            return None
        if not (texts["sku"] or handle):
            raise _Fault("sku", "the SKU is missing, and there is no handle to make one from")
        inherited = {
            name: texts[name] or self._parent[1].get(name, "") for name in texts if name not in ("sku", "price")
        }
        named = inherited["name"] and shopify.variant_name(inherited["name"], options)
        sku = shopify.variant_sku(texts["sku"], handle, options)
        return {**inherited, "sku": sku, "name": named, "price": texts["price"]}

    def _row(self, line: int, texts: Mapping[str, str]) -> Row:
        for name, longest in (("name", MAX_NAME), ("description", MAX_DESCRIPTION)):
            if len(texts.get(name, "")) > longest:
                raise _Fault(name, f"may have at most {longest:,} characters")
        sku = skus.from_cell(texts["sku"])
        if said := skus.fault_of(sku):
            raise _Fault("sku", said)
        if not texts["name"]:
            raise _Fault("name", "the name is missing")
        currency = texts.get("currency") or None
        if (currency or self._currency) not in money.EXPONENTS:
            raise _Fault("currency", "must be an ISO 4217 currency code such as EUR")
        return Row(
            line=line,
            sku=sku,
            name=texts["name"],
            price=self._price(texts["price"], currency or self._currency),
            currency=currency,
            description=texts.get("description") or None,
            is_active=_is_active(texts),
            is_tidied=sku != skus.normal(texts["sku"]),
        )

    def _price(self, text: str, currency: str) -> Decimal:
        if not text:
            raise _Fault("price", "the price is missing")
        try:
            price = amount(text, decimal_mark=self._mark, decimals=money.EXPONENTS[currency])
        except InvalidNumber as error:
            raise _Fault("price", str(error)) from error
        if not money.fits(price, currency):
            raise _Fault("price", f"a price in {currency} has {counted(money.EXPONENTS[currency], 'decimal')}")
        return price


def _is_active(texts: Mapping[str, str]) -> bool | None:
    """Tell whether a product is published and, in Shopify's files, active; None if the file says neither."""
    said = [_flag(field, texts[field]) for field in ("is_active", "status") if texts.get(field)]
    return all(said) if said else None


def _flag(field: str, text: str) -> bool:
    if text.casefold() not in FLAGS:
        raise _Fault(field, f"must be one of {', '.join(FLAGS)}")
    return FLAGS[text.casefold()]
