"""Layouts of stock files: which column holds which field, and how a row is parsed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from inventory.imports.vocabulary import Mode
from inventory.stock.limits import MAX_LEVEL, MAX_NOTE, MAX_REFERENCE
from inventory.stock.vocabulary import Reason
from shop.toolkit import skus
from shop.toolkit.files import shopify
from shop.toolkit.files.sheets import InvalidNumber, Layout, Sheet, UnreadableFile, by_mapping, by_name, folded, units

REQUIRED = ("sku", "quantity")
OPTIONAL = ("warehouse", "expected_on_hand", "reason", "note", "reference")
# Further columns of export_stock, which an import ignores.
FOR_PEOPLE = (
    "name", "reserved", "committed", "unavailable", "safety_stock", "available", "reorder_point", "backorder_limit",
)  # fmt: skip


class Row(NamedTuple):
    """A parsed row. With a `fault`, only its line and cells are set."""

    line: int
    cells: list[str]
    sku: str = ""
    warehouse_id: int | None = None
    quantity: int | None = None
    expected_on_hand: int | None = None
    reason: str = ""
    reference: str = ""
    note: str = ""
    is_tidied: bool = False  # whether invisible characters or spaces were removed from its SKU
    fault_field: str = ""
    fault: str = ""


def recognize(columns: Sequence[str], *, mapping: Mapping[str, str], mode: str) -> Layout:
    """Return the layout that the column names indicate; `mapping` has the field of each column of any other layout.

    Raises UnreadableFile when columns are missing, unknown, or do not fit the mode.
    """
    if mapping:
        layout = by_mapping(columns, mapping, required=REQUIRED, optional=OPTIONAL)
    else:
        own = partial(by_name, columns, required=REQUIRED, optional=OPTIONAL, ignored=FOR_PEOPLE)
        layout = _shopify(columns) or own()
    if mode == Mode.ADJUST and (layout.handle is not None or "expected_on_hand" in layout.places):
        raise UnreadableFile("This file states stock on hand, not changes to it. Load it with the mode set or count.")
    return layout


def _shopify(columns: Sequence[str]) -> Layout | None:
    named = folded(columns)
    handle = next((named[name] for name in shopify.HANDLE if name in named), None)
    options = [named[name] for name in shopify.OPTION_VALUES if name in named]
    if handle is None:
        return None
    for sku, quantity in shopify.PRODUCT_QUANTITIES:
        if {sku, quantity} <= named.keys():
            places = {"sku": named[sku], "quantity": named[quantity]}
            return Layout("Shopify's product file", list(columns), places, handle, options)
    if not named.keys() >= shopify.INVENTORY_COLUMNS:
        return None
    return Layout("Shopify's inventory file", list(columns), _inventory_places(named), handle, options)


def _inventory_places(named: Mapping[str, int]) -> dict[str, int]:
    quantity = next((name for name in shopify.ON_HAND if name in named), None)
    if quantity is None or "location" not in named:
        raise UnreadableFile(
            "This Shopify inventory file has available quantities only, in one column per location. Export it again "
            "with all quantities."
        )
    places = {"sku": named["sku"], "warehouse": named["location"], "quantity": named[quantity]}
    if shopify.ON_HAND_BEFORE in named:
        places["expected_on_hand"] = named[shopify.ON_HAND_BEFORE]
    return places


class _Fault(Exception):
    """A faulty field, and how to correct it."""

    def __init__(self, field: str, said: str) -> None:
        super().__init__(said)
        self.field = field


FindWarehouse = Callable[[str], int | str]


def read_rows(
    sheet: Sheet,
    layout: Layout,
    *,
    mode: str,
    find_warehouse: Callable[[str], int | str],
    default_warehouse: int | None,
) -> Iterator[Row | None]:
    """Yield each row parsed; None for a row without stock.

    `find_warehouse` returns the id of the warehouse that a cell names, or the fault. Raises UnreadableFile.
    """
    reader = _RowReader(layout, mode, find_warehouse, default_warehouse)
    for line, cells in sheet.rows:
        try:
            yield reader.read(line, cells)
        except _Fault as fault:
            yield Row(line, cells, fault_field=fault.field, fault=str(fault))


class _RowReader:
    def __init__(self, layout: Layout, mode: str, find_warehouse: FindWarehouse, default_warehouse: int | None) -> None:
        self._width = len(layout.columns)
        self._layout = layout
        self._find_warehouse = find_warehouse
        self._default_warehouse = default_warehouse
        self._lowest = -MAX_LEVEL if mode == Mode.ADJUST else 0
        self._sku, self._quantity = layout.places["sku"], layout.places["quantity"]
        self._warehouse = layout.places.get("warehouse")
        self._expected = layout.places.get("expected_on_hand")
        self._texts = [layout.places.get(field) for field in ("reason", "reference", "note")]
        self._has_texts = any(place is not None for place in self._texts)

    def read(self, line: int, cells: list[str]) -> Row | None:
        if len(cells) != self._width and (said := self._layout.misfit(cells)):
            raise _Fault("row", said)
        quantity_text = cells[self._quantity].strip()
        if self._layout.handle is not None and quantity_text.casefold() in ("", shopify.NOT_STOCKED):
            return None
        written = cells[self._sku].strip() or self._stand_in(cells)
        sku = skus.from_cell(written)
        if said := skus.fault_of(sku):
            raise _Fault("sku", said)
        warehouse_id = self._warehouse_id(cells)
        quantity = _level("quantity", quantity_text, self._lowest)
        expected = None
        if self._expected is not None and (text := cells[self._expected].strip()):
            expected = None if text.casefold() == shopify.NOT_STOCKED else _level("expected_on_hand", text, 0)
        reason, reference, note = self._read_texts(cells) if self._has_texts else ("", "", "")
        is_tidied = sku is not written and sku != skus.normal(written)
        return Row(line, cells, sku, warehouse_id, quantity, expected, reason, reference, note, is_tidied)

    def _stand_in(self, cells: list[str]) -> str:
        handle = "" if self._layout.handle is None else cells[self._layout.handle].strip()
        if not handle:
            raise _Fault("sku", "the SKU is missing")
        return shopify.variant_sku("", handle, (cells[place].strip() for place in self._layout.options))

    def _warehouse_id(self, cells: list[str]) -> int:
        if self._warehouse is None:
            assert self._default_warehouse is not None, "a layout without a warehouse is staged with one"
            return self._default_warehouse
        found = self._find_warehouse(cells[self._warehouse].strip())
        if isinstance(found, str):
            raise _Fault("warehouse", found)
        return found

    def _read_texts(self, cells: list[str]) -> tuple[str, str, str]:
        reason, reference, note = ("" if place is None else " ".join(cells[place].split()) for place in self._texts)
        if reason and reason not in Reason.MANUAL:
            raise _Fault("reason", f"the reason must be one of {', '.join(Reason.MANUAL)}")
        if len(reference) > MAX_REFERENCE:
            raise _Fault("reference", f"the reference may have at most {MAX_REFERENCE} characters")
        if len(note) > MAX_NOTE:
            raise _Fault("note", f"the note may have at most {MAX_NOTE} characters")
        return reason, reference, note


def _level(field: str, text: str, lowest: int) -> int:
    if not text:
        raise _Fault(field, "the number of units is missing")
    try:
        number = units(text)
    except InvalidNumber as error:
        raise _Fault(field, str(error)) from error
    if not lowest <= number <= MAX_LEVEL:
        raise _Fault(field, f"the number of units must be between {lowest:,} and {MAX_LEVEL:,}")
    return number
