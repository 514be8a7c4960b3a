"""Reading files into imports: each row is parsed or refused, and copied into the staging table."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from django.db import DatabaseError, transaction

from inventory.imports import models, sql_staging
from inventory.imports.documents import AlreadyImported, StockImport, import_of, seen_by
from inventory.imports.layouts import Row, read_rows, recognize
from inventory.imports.vocabulary import ImportStatus
from inventory.stock import models as stock_models
from inventory.stock.limits import MAX_NOTE
from inventory.stock.scopes import Scope, scope_of, within
from inventory.stock.warehouses import WarehouseNotFound
from shop.toolkit.callers import Caller
from shop.toolkit.db import transactions
from shop.toolkit.files import sheets
from shop.toolkit.plurals import counted
from shop.toolkit.skus import sku_key

STAGED_AT_ONCE, CHARACTERS_AT_ONCE = 5000, 4 << 20

OnRows = Callable[[int], None]


@dataclass(frozen=True)
class ImportRequest:
    """How to import a file.

    `mode` is set, adjust or count. `on_error` is abort (one refused row refuses the file) or skip. `mapping` has the
    field of each column. `warehouse` is for files without a warehouse column. `again` allows a file that was loaded
    before. With `review`, a dry run keeps its rows for `approve_import`.
    """

    file_name: str
    mode: str = "set"
    on_error: str = "abort"
    dry_run: bool = False
    again: bool = False
    review: bool = False
    warehouse: str | None = None
    mapping: Mapping[str, str] = field(default_factory=dict)
    note: str = ""

    @property
    def options(self) -> dict[str, Any]:
        """The options that must match to resume an import."""
        return {"mode": self.mode, "on_error": self.on_error, "warehouse": self.warehouse, "map": dict(self.mapping),
                "note": self.note}  # fmt: skip


@dataclass(frozen=True)
class FileLimits:
    """The maximum unpacked size and number of lines of a file."""

    max_bytes: int
    max_lines: int

    @classmethod
    def of_upload(cls, upload_bytes: int) -> "FileLimits":
        """Return the limits for an upload of `upload_bytes`, whose lines are read while the client waits."""
        return cls(max_bytes=10 * upload_bytes, max_lines=1_000_000)


def _no_rows(count: int) -> None: ...


@transaction.atomic(savepoint=False)
def stage_import(
    request: ImportRequest,
    *,
    import_id: UUID,
    path: Path,
    limits: FileLimits,
    caller: Caller,
    on_rows: OnRows = _no_rows,
) -> StockImport:
    """Read a file into a new import that is still to be applied, all rows or none, in constant memory.

    `path` is a CSV (plain or gzip) or .xlsx file. `on_rows` is called with the number of rows read so far. Invalid rows
    do not raise; they are refused in the document. Raises AlreadyImported, WarehouseNotFound; UnreadableFile for a file
    that is not a table of a known layout.
    """
    if len(request.note) > MAX_NOTE:
        raise sheets.UnreadableFile(f"A note may have at most {MAX_NOTE} characters.")
    sql_staging.lift_timeouts()
    file_hash = sheets.fingerprint(path)
    if not request.dry_run:
        refuse_duplicate(file_hash, again=request.again, caller=caller)
    with sheets.open_sheet(path, max_bytes=limits.max_bytes, max_lines=limits.max_lines) as sheet:
        layout = recognize(sheet.columns, mapping=request.mapping, mode=request.mode)
        warehouses = _Warehouses(scope_of(caller))
        default = warehouses.default(request.warehouse, layout)
        document = _document(request, import_id, layout, sheet, file_hash, caller)
        save_unless_duplicate(document)
        found = read_rows(sheet, layout, mode=request.mode, find_warehouse=warehouses.find, default_warehouse=default)
        _stage(document, found, on_rows)
    if not document.rows:
        raise sheets.UnreadableFile("The file has column names but no rows with stock.")
    document.save(update_fields=["rows", "skipped", "understood_as"])
    return import_of(document)


class _Warehouses:
    """The warehouses of a scope as files name them: by code, or ignoring case by a code or name that is unique."""

    def __init__(self, scope: Scope) -> None:
        self._by_code: dict[str, int] = {}
        self._by_text: dict[str, set[int]] = {}
        self._active: list[int] = []
        for row in stock_models.Warehouse.objects.filter(within(scope, "id")):
            self._by_code[row.code] = row.pk
            for text in (row.code, row.name):
                self._by_text.setdefault(text.casefold(), set()).add(row.pk)
            if row.is_active:
                self._active.append(row.pk)

    def find(self, text: str) -> int | str:
        """Return the id of the warehouse that a cell names, or the fault of the cell as a string."""
        if not text:
            return "the warehouse is missing"
        if (found := self._by_code.get(text)) is not None:
            return found
        named = self._by_text.get(text.casefold(), set())
        if len(named) == 1:
            return next(iter(named))
        if named:
            return "several warehouses have this name; use the exact warehouse code"
        return "there is no such warehouse; create it first, or use the code or name of another"

    def default(self, code: str | None, layout: sheets.Layout) -> int | None:
        """Return the warehouse of all rows; None if each row names its own."""
        if "warehouse" in layout.places:
            if code is not None:
                raise sheets.UnreadableFile("The file has a warehouse column. Leave the warehouse option empty.")
            return None
        if code is not None:
            if code not in self._by_code:
                raise WarehouseNotFound([code])
            return self._by_code[code]
        if len(self._active) != 1:
            raise sheets.UnreadableFile("The file has no warehouse column. Choose one warehouse for all rows.")
        return self._active[0]


def refuse_duplicate(file_hash: str, *, again: bool, caller: Caller) -> None:
    """Raise AlreadyImported for a file with an applied or unfinished import that the caller may see.

    `again` allows such a file.
    """
    if again:
        return
    seen = models.StockImport.objects.filter(seen_by(caller))
    same = seen.filter(file_hash=file_hash, is_dry_run=False, undoes__isnull=True)
    if duplicate := same.filter(status__in=ImportStatus.LOADED).order_by("created_at").first():
        raise AlreadyImported(duplicate.pk, duplicate.status)


def _document(
    request: ImportRequest,
    import_id: UUID,
    layout: sheets.Layout,
    sheet: sheets.Sheet,
    file_hash: str,
    caller: Caller,
) -> models.StockImport:
    return models.StockImport(
        pk=import_id,
        mode=request.mode,
        skips_refused=request.on_error == "skip",
        is_dry_run=request.dry_run,
        is_reviewed=request.review,
        again=request.again,
        options=request.options,
        file_name=request.file_name[-255:],
        file_hash=file_hash,
        understood_as=f"{sheet.understood_as}; {layout.sentence}"[:500],
        columns=layout.columns,
        places=dict(layout.places),
        note=request.note,
        actor_id=caller.actor_id,
    )


def save_unless_duplicate(document: models.StockImport) -> None:
    """Save an import. Raises AlreadyImported when the same file is being imported concurrently."""
    try:
        document.save()
    except DatabaseError as error:
        # Another transaction has just imported the same file, or still does so after the lock timeout.
        is_duplicate = transactions.violated_constraint(error) == "inventory_import_once"
        if is_duplicate or transactions.sqlstate(error) == transactions.LOCK_NOT_AVAILABLE:
            raise AlreadyImported(None, ImportStatus.STAGED) from error
        raise


def _stage(document: models.StockImport, found: Iterator[Row | None], on_rows: OnRows) -> None:
    """Copy rows into the staging table in batches, each row with the product of its SKU."""
    tidied = 0
    for batch in _batches(found):
        rows = [row for row in batch if row is not None]
        products = sql_staging.find_skus({sku_key(row.sku) for row in rows if not row.fault})
        tidied += sum(row.is_tidied for row in rows)
        sql_staging.copy_rows(document.pk, (_staged(row, products) for row in rows))
        document.rows += len(rows)
        document.skipped += len(batch) - len(rows)
        on_rows(document.rows + document.skipped)
    if tidied:
        said = f"; {counted(tidied, 'SKU')} had invisible characters or double spaces, which were removed"
        document.understood_as = f"{document.understood_as[: 500 - len(said)]}{said}"


def _batches(found: Iterator[Row | None]) -> Iterator[list[Row | None]]:
    """Yield rows in batches, limited by their number and by their characters in memory."""
    batch: list[Row | None] = []
    characters = 0
    for row in found:
        batch.append(row)
        characters += 0 if row is None else sum(map(len, row.cells))
        if len(batch) == STAGED_AT_ONCE or characters > CHARACTERS_AT_ONCE:
            yield batch
            batch, characters = [], 0
    yield batch


def _staged(row: Row, products: Mapping[str, int]) -> tuple[Any, ...]:
    cells = json.dumps(row.cells, ensure_ascii=False)
    if row.fault:
        return row.line, None, None, None, None, "", "", "", cells, row.fault_field, row.fault
    product_id = products.get(sku_key(row.sku))
    if product_id is None:
        said = f"there is no product with the SKU {row.sku[:80]}; create it first, or correct the SKU"
        return row.line, None, None, None, None, "", "", "", cells, "sku", said
    return (
        row.line, product_id, row.warehouse_id, row.quantity, row.expected_on_hand, row.reason, row.reference, row.note,
        cells, "", "",
    )  # fmt: skip
