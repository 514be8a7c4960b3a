"""Files of products: which column says what, and what a row means."""

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

REQUIRED = ("sku", "name", "price")
OPTIONAL = ("currency", "description", "is_active")
FLAGS = {"true": True, "yes": True, "1": True, "active": True,
         "false": False, "no": False, "0": False, "draft": False, "archived": False, "unlisted": False}  # fmt: skip


@dataclass(frozen=True)
class ProductFile:
    """How a file is to be taken: `currency` is of prices that have none, `mapping` says which column is which field."""

    path: Path
    max_bytes: int
    currency: str
    mapping: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """A product as a file has it; what the file does not say is None: as it is, or of a new product the default."""

    line: int
    sku: str
    name: str
    price: Decimal
    currency: str | None
    description: str | None
    is_active: bool | None
    is_tidied: bool  # whether its SKU had characters that nobody sees

    @property
    def said(self) -> tuple[object, ...]:
        return self.name, self.price, self.currency, self.description, self.is_active


@dataclass(frozen=True)
class Catalogue:
    """An open file: its layout and how it was understood. Each row, with its cells, is a product, or refused, or None
    where it is no product."""

    layout: Layout
    understood_as: str
    rows: Iterator[tuple[list[str], Row | RefusedRow | None]]


class _Fault(Exception):
    def __init__(self, field: str, said: str) -> None:
        super().__init__(said)
        self.field = field


@contextmanager
def read_catalogue(file: ProductFile) -> Iterator[Catalogue]:
    """Yield the products of a CSV or .xlsx file in the own layout, Shopify's, or the one that is mapped.

    A row that repeats an earlier one of its SKU is None; one that contradicts it is refused: the first counts. What was
    read is kept in memory by SKU, a few hundred bytes each. Raises UnreadableFile, now or while rows are read.
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
    """Reads row by row and remembers: the product that variants belong to, and what was said of each SKU."""

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
        if first.said == row.said:
            return None
        raise _Fault("sku", f"line {first.line} says otherwise of the same SKU, and counts; give this one another")

    def _variant(self, texts: dict[str, str], cells: list[str]) -> dict[str, str] | None:
        """Return the row with what only the first row of its product says; None for one of images alone."""
        assert self._layout.handle is not None, "only files with handles have variants"
        handle = cells[self._layout.handle].strip()
        options = [cells[place].strip() for place in self._layout.options]
        if handle != self._parent[0]:
            self._parent = (handle, texts)
        if not (texts["sku"] or texts["price"] or any(options)):
            return None
        if not (texts["sku"] or handle):
            raise _Fault("sku", "a SKU is needed, or a handle to make one of")
        inherited = {
            name: texts[name] or self._parent[1].get(name, "") for name in texts if name not in ("sku", "price")
        }
        named = inherited["name"] and shopify.variant_name(inherited["name"], options)
        sku = shopify.variant_sku(texts["sku"], handle, options)
        return {**inherited, "sku": sku, "name": named, "price": texts["price"]}

    def _row(self, line: int, texts: Mapping[str, str]) -> Row:
        for name, longest in (("name", MAX_NAME), ("description", MAX_DESCRIPTION)):
            if len(texts.get(name, "")) > longest:
                raise _Fault(name, f"at most {longest:,} characters are taken")
        sku = skus.from_cell(texts["sku"])
        if said := skus.fault_of(sku):
            raise _Fault("sku", said)
        if not texts["name"]:
            raise _Fault("name", "a name is needed")
        currency = texts.get("currency") or None
        if (currency or self._currency) not in money.EXPONENTS:
            raise _Fault("currency", "an ISO 4217 currency code such as EUR is needed")
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
            raise _Fault("price", "a price is needed")
        try:
            price = amount(text, decimal_mark=self._mark, decimals=money.EXPONENTS[currency])
        except InvalidNumber as error:
            raise _Fault("price", str(error)) from error
        if not money.fits(price, currency):
            raise _Fault("price", f"{currency} has {money.EXPONENTS[currency]} decimals")
        return price


def _is_active(texts: Mapping[str, str]) -> bool | None:
    """On sale is what is published and, in Shopify's files, active; None when the file says neither."""
    said = [_flag(field, texts[field]) for field in ("is_active", "status") if texts.get(field)]
    return all(said) if said else None


def _flag(field: str, text: str) -> bool:
    if text.casefold() not in FLAGS:
        raise _Fault(field, f"one of {', '.join(FLAGS)} is needed")
    return FLAGS[text.casefold()]
