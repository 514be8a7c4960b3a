"""Stock as a file: what staff edit and load again."""

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
# Edit the quantity and load the file: it is set where what is on hand is still what was expected.
COLUMNS = ("sku", "warehouse", "quantity", "expected_on_hand", *FOR_PEOPLE)
FIELDS = ("product__sku", "warehouse__code", "on_hand", "on_hand", "product__name", "reserved", "committed",
          "unavailable", "safety_stock", "sellable", "reorder_point", "backorder_limit")  # fmt: skip


class TooManyRows(Refusal):
    """A worksheet has no room for so many rows."""

    def __init__(self, rows: int) -> None:
        super().__init__(f"{rows:,} rows are more than the {MAX_XLSX_ROWS:,} of a worksheet; take CSV, or filter them.")


def export_stock(
    path: Path,
    *,
    kind: str,
    warehouse: str | None = None,
    low_stock: bool | None = None,
    search: str = "",
    caller: Caller,
) -> int:
    """Write the stock rows to a file, all as of one moment, and return how many; memory stays constant.

    `kind` is csv or xlsx. `warehouse` keeps the rows of one; `low_stock` those that are low, or are not; `search`
    matches words of SKU and name, in any order; with `visible_to`, rows outside that user's scope do not exist. The
    columns are those that an import reads. In a transaction of its own. Raises WarehouseNotFound, TooManyRows.
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
