"""How files of stock are laid out: which column says what, and what a row means."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from inventory.models import MAX_LEVEL, MAX_NOTE, MAX_REFERENCE, Mode, Reason
from shop.toolkit import shopify
from shop.toolkit.sheets import InvalidNumber, Sheet, UnreadableFile, units

FIELDS = ("sku", "warehouse", "quantity", "expected_on_hand", "reason", "note", "reference")
# What export_stock and the files of refused rows write beside them.
ERROR = "error"
FOR_PEOPLE = (
    "name", "reserved", "committed", "unavailable", "safety_stock", "available", "reorder_point", "backorder_limit",
    ERROR,
)  # fmt: skip
SHOPIFY_QUANTITIES = ("on hand (new)", "on hand")
NOT_STOCKED = "not stocked"
REASONS = tuple(value for value in Reason.values if value)


class Row(NamedTuple):
    """A row as it was understood; with a `fault`, what was not is None."""

    line: int
    cells: list[str]
    sku: str = ""
    warehouse_id: int | None = None
    quantity: int | None = None
    expected_on_hand: int | None = None
    reason: str = ""
    reference: str = ""
    note: str = ""
    fault_field: str = ""
    fault: str = ""


@dataclass(frozen=True)
class Layout:
    """Where each field stands in a row. `variant` are the places of a handle and its options, in Shopify's files."""

    name: str
    columns: list[str]
    places: Mapping[str, int]
    unused: list[str]
    variant: tuple[int, list[int]] | None = None
    # Whether a row without a quantity says nothing, rather than too little.
    skips_blank: bool = False

    @property
    def sentence(self) -> str:
        said = ", ".join(f"{field} from {self.columns[place]!r}" for field, place in self.places.items())
        return f"{self.name}: {said}" + (f"; not used: {', '.join(self.unused)}" if self.unused else "")


def recognize(columns: Sequence[str], *, mapping: Mapping[str, str], mode: str) -> Layout:
    """Tell the layout by the names of the columns; `mapping` says which column is which field where they are others.

    Raises UnreadableFile when columns are missing, unknown, or say something that goes with another mode.
    """
    folded = {name.casefold(): place for place, name in enumerate(columns)}
    if mapping:
        return _mapped(columns, folded, mapping)
    for recognized in (_shopify_inventory, _shopify_products):
        if layout := recognized(columns, folded):
            if mode == Mode.ADJUST:
                raise UnreadableFile("Shopify's files say what is on hand: load them with the mode set or count.")
            return layout
    return _own(columns, folded)


def _layout(name: str, columns: Sequence[str], places: Mapping[str, int], known: Sequence[int] = ()) -> Layout:
    used = {*places.values(), *known}
    unused = [column for place, column in enumerate(columns) if place not in used and column]
    return Layout(name, list(columns), places, unused)


def _own(columns: Sequence[str], folded: Mapping[str, int]) -> Layout:
    named = {re.sub(r"[\s-]+", "_", name): place for name, place in folded.items()}
    missing = [field for field in ("sku", "quantity") if field not in named]
    unknown = [columns[place] for name, place in named.items() if name not in FIELDS + FOR_PEOPLE]
    if not missing and not unknown:
        return _layout("own layout", columns, {field: named[field] for field in FIELDS if field in named})
    said = f"there is no column {missing[0]}" if missing else f"the column {unknown[0]!r} is not known"
    raise UnreadableFile(
        f"The file has the columns {', '.join(columns)}: {said}. The own layout has sku and quantity, and may have "
        f"{', '.join(field for field in FIELDS if field not in ('sku', 'quantity'))}; Shopify's inventory and product "
        "files are known by their columns; for any other, say which column is which field (map)."
    )


def _mapped(columns: Sequence[str], folded: Mapping[str, int], mapping: Mapping[str, str]) -> Layout:
    places: dict[str, int] = {}
    for column, field in mapping.items():
        if field not in FIELDS:
            raise UnreadableFile(f"There is no field {field!r} to map {column!r} to; there are {', '.join(FIELDS)}.")
        if column.strip().casefold() not in folded:
            raise UnreadableFile(f"The file has no column {column!r}; it has {', '.join(columns)}.")
        if field in places:
            raise UnreadableFile(f"Two columns are mapped to {field}; which of them counts?")
        places[field] = folded[column.strip().casefold()]
    for field in FIELDS:
        if field not in places and field in folded and folded[field] not in places.values():
            places[field] = folded[field]
    missing = [field for field in ("sku", "quantity") if field not in places]
    if missing:
        raise UnreadableFile(f"No column is mapped to {missing[0]}; the file has {', '.join(columns)}.")
    return _layout("mapped", columns, places)


def _shopify_inventory(columns: Sequence[str], folded: Mapping[str, int]) -> Layout | None:
    if not {"handle", "sku", "hs code", "coo"} <= folded.keys():
        return None
    quantity = next((name for name in SHOPIFY_QUANTITIES if name in folded), None)
    if quantity is None or "location" not in folded:
        raise UnreadableFile(
            "This is Shopify's inventory file of available quantities alone, with a column for each location. What is "
            "available follows from what is on hand: export it again with all quantities."
        )
    places = {"sku": folded["sku"], "warehouse": folded["location"], "quantity": folded[quantity]}
    if "on hand (current)" in folded:
        places["expected_on_hand"] = folded["on hand (current)"]
    return _of_variants("Shopify's inventory file", columns, folded, places)


def _shopify_products(columns: Sequence[str], folded: Mapping[str, int]) -> Layout | None:
    for sku, quantity in (("variant sku", "variant inventory qty"), ("sku", "inventory quantity")):
        if {sku, quantity} <= folded.keys() and any(name in folded for name in shopify.HANDLE):
            places = {"sku": folded[sku], "quantity": folded[quantity]}
            return _of_variants("Shopify's product file", columns, folded, places)
    return None


def _of_variants(name: str, columns: Sequence[str], folded: Mapping[str, int], places: Mapping[str, int]) -> Layout:
    handle = next(folded[name] for name in shopify.HANDLE if name in folded)
    options = [folded[name] for name in shopify.OPTION_VALUES if name in folded]
    layout = _layout(name, columns, places, [handle, *options])
    return replace(layout, variant=(handle, options), skips_blank=True)


class _Fault(Exception):
    """What is wrong with a field, and what would be right."""

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
    """Yield each row as it is understood, None for one that says nothing of stock.

    `find_warehouse` returns the id of a warehouse, or why there is none. Raises UnreadableFile.
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
        if len(cells) != self._width:
            self._refuse_width(cells)
        quantity_text = cells[self._quantity].strip()
        if self._layout.skips_blank and quantity_text.casefold() in ("", NOT_STOCKED):
            return None
        sku = cells[self._sku].strip()
        if not sku:
            sku = self._stand_in(cells)
        warehouse_id = self._warehouse_id(cells)
        quantity = _level("quantity", quantity_text, self._lowest)
        expected = None
        if self._expected is not None and (text := cells[self._expected].strip()):
            expected = None if text.casefold() == NOT_STOCKED else _level("expected_on_hand", text, 0)
        reason, reference, note = self._read_texts(cells) if self._has_texts else ("", "", "")
        return Row(line, cells, sku, warehouse_id, quantity, expected, reason, reference, note)

    def _refuse_width(self, cells: list[str]) -> None:
        if len(cells) > self._width and not any(cells[self._width :]):
            del cells[self._width :]
            return
        raise _Fault(
            "row", f"the row has {len(cells)} cells where the header has {self._width}; empty cells count as well"
        )

    def _stand_in(self, cells: list[str]) -> str:
        if self._layout.variant is None:
            raise _Fault("sku", "a SKU is needed")
        handle, options = self._layout.variant
        if not cells[handle].strip():
            raise _Fault("sku", "a SKU is needed, or a handle to make one of")
        return shopify.variant_sku("", cells[handle].strip(), (cells[place].strip() for place in options))

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
        if reason and reason not in REASONS:
            raise _Fault("reason", f"a reason is one of {', '.join(REASONS)}")
        if len(reference) > MAX_REFERENCE:
            raise _Fault("reference", f"a reference has at most {MAX_REFERENCE} characters")
        if len(note) > MAX_NOTE:
            raise _Fault("note", f"a note has at most {MAX_NOTE} characters")
        return reason, reference, note


def _level(field: str, text: str, lowest: int) -> int:
    if not text:
        raise _Fault(field, "a number of units is needed")
    try:
        number = units(text)
    except InvalidNumber as error:
        raise _Fault(field, str(error)) from error
    if not lowest <= number <= MAX_LEVEL:
        raise _Fault(field, f"a number of units from {lowest:,} to {MAX_LEVEL:,} is needed")
    return number
