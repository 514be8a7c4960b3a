"""Export of stock to a file that staff can edit and import again."""

from pathlib import Path
from typing import Any

from django.db import connection, transaction
from django.db.models import Case, QuerySet, When

from inventory.imports.layouts import FOR_PEOPLE
from inventory.stock import models as stock_models
from inventory.stock.levels import AVAILABLE, IS_LOW, IS_SHOWN
from inventory.stock.scopes import scope_of, within
from inventory.stock.warehouses import WarehouseNotFound
from shop.toolkit.callers import Caller
from shop.toolkit.db.search import every_word
from shop.toolkit.files.sheets import MAX_XLSX_ROWS, write_sheet
from shop.toolkit.refusals import Refusal

READ_AT_ONCE = 5000
# An edited quantity is set by the import if the units on hand are still the expected ones.
COLUMNS = ("sku", "warehouse", "quantity", "expected_on_hand", *FOR_PEOPLE)
FIELDS = ("product__sku", "warehouse__code", "on_hand", "on_hand", "product__name", "reserved", "committed",
          "unavailable", "safety_stock", "sellable", "reorder_point", "backorder_limit")  # fmt: skip


class TooManyRows(Refusal):
    """There are more rows than a worksheet can have."""

    def __init__(self, rows: int) -> None:
        super().__init__(
            f"The export has {rows:,} rows, and a worksheet holds {MAX_XLSX_ROWS:,}. Export CSV, or filter the rows."
        )


def export_stock(
    path: Path,
    *,
    kind: str,
    warehouse: str | None = None,
    low_stock: bool | None = None,
    search: str = "",
    caller: Caller,
) -> int:
    """Write the stock rows as of one moment to a file, in constant memory; return how many.

    `kind` is csv or xlsx. `warehouse` keeps the rows of one warehouse; `low_stock` keeps those that are low, or if
    False those that are not; `search` matches words of SKU and name in any order. Only the caller's warehouses count.
    An import can read the file. Runs in a transaction of its own. Raises WarehouseNotFound, TooManyRows.
    """
    with transaction.atomic(durable=True):
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            cursor.execute("SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = '60s'")
        scope = scope_of(caller)
        known = stock_models.Warehouse.objects.filter(within(scope, "id"))
        if warehouse is not None and not known.filter(code=warehouse).exists():
            raise WarehouseNotFound([warehouse])
        rows = _rows(warehouse, low_stock, search).filter(within(scope), IS_SHOWN)
        if kind == "xlsx" and (count := rows.count()) > MAX_XLSX_ROWS:
            raise TooManyRows(count)
        return write_sheet(path, kind, COLUMNS, rows.iterator(chunk_size=READ_AT_ONCE))


def _rows(warehouse: str | None, low_stock: bool | None, search: str) -> "QuerySet[stock_models.Stock, Any]":
    sold_from = When(warehouse__is_active=True, then=AVAILABLE)
    rows = stock_models.Stock.objects.alias(free=AVAILABLE).annotate(sellable=Case(sold_from, default=0))
    if warehouse is not None:
        rows = rows.filter(warehouse__code=warehouse)
    rows = rows.filter(every_word(search, "product__sku", "product__name"))
    if low_stock is not None:
        rows = rows.filter(IS_LOW) if low_stock else rows.exclude(IS_LOW)
    return rows.order_by("product__sku", "warehouse__priority", "warehouse_id").values_list(*FIELDS)
