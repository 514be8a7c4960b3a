"""Files become imports: read row by row, each row understood or refused, copied into the staging table."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from django.db import DatabaseError, transaction

from inventory.imports import models, sql_staging
from inventory.imports.documents import AlreadyImported, StockImport, fact, seen_by
from inventory.imports.layouts import Row, read_rows, recognize
from inventory.imports.vocabulary import ImportStatus
from inventory.stock import models as stock_models
from inventory.stock.limits import MAX_NOTE
from inventory.stock.scopes import Scope, scope_of, within
from inventory.stock.warehouses import WarehouseNotFound
from shop.toolkit.callers import Caller
from shop.toolkit.db import transactions
from shop.toolkit.files import sheets
from shop.toolkit.skus import sku_key

STAGED_AT_ONCE, CHARACTERS_AT_ONCE = 5000, 4 << 20

OnRows = Callable[[int], None]


@dataclass(frozen=True)
class ImportRequest:
    """How a file is to be taken.

    `mode` is set, adjust or count; `on_error` abort (one refused row refuses all) or skip; `mapping` says which column
    is which field; `warehouse` is for files without a column of them; `again` takes a file that was loaded before. With
    `review` a dry run keeps its rows, for `approve_import`.
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
        """What must be the same for an import that goes on."""
        return {"mode": self.mode, "on_error": self.on_error, "warehouse": self.warehouse, "map": dict(self.mapping),
                "note": self.note}  # fmt: skip


@dataclass(frozen=True)
class FileLimits:
    """What a file may unpack to, and how many lines it may have."""

    max_bytes: int
    max_lines: int

    @classmethod
    def of_upload(cls, upload_bytes: int) -> "FileLimits":
        """Return those of an upload of at most so many bytes: its lines are read while the client waits."""
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
    """Read a file into a new import that is still to be applied, all rows or none; memory stays constant.

    `path` is a CSV (plain or gzip) or .xlsx file. `on_rows` is told the number of
    rows read so far. Rows that cannot be right are refused one by one, in the document. Raises AlreadyImported,
    WarehouseNotFound; UnreadableFile for a file that is no table of a known layout.
    """
    if len(request.note) > MAX_NOTE:
        raise sheets.UnreadableFile(f"A note has at most {MAX_NOTE} characters.")
    sql_staging.take_time()
    file_hash = sheets.fingerprint(path)
    if not request.dry_run:
        refuse_twin(file_hash, again=request.again, caller=caller)
    with sheets.open_sheet(path, max_bytes=limits.max_bytes, max_lines=limits.max_lines) as sheet:
        layout = recognize(sheet.columns, mapping=request.mapping, mode=request.mode)
        warehouses = _Warehouses(scope_of(caller))
        default = warehouses.default(request.warehouse, layout)
        document = _document(request, import_id, layout, sheet, file_hash, caller)
        save_loaded(document)
        found = read_rows(sheet, layout, mode=request.mode, find_warehouse=warehouses.find, default_warehouse=default)
        _stage(document, found, on_rows)
    if not document.rows:
        raise sheets.UnreadableFile("The file names its columns and has no rows that say anything of stock.")
    document.save(update_fields=["rows", "skipped", "understood_as"])
    return fact(document)


class _Warehouses:
    """Warehouses of a scope by what files call them: their code; or its letters, or their name, where they are one's
    alone."""

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
        """Return the id of a warehouse, or why there is none."""
        if not text:
            return "a warehouse is needed"
        if (found := self._by_code.get(text)) is not None:
            return found
        named = self._by_text.get(text.casefold(), set())
        if len(named) == 1:
            return next(iter(named))
        if named:
            return "several warehouses are called so; give the code, as it is written"
        return "there is no such warehouse; create it first, or give the code or name of another"

    def default(self, code: str | None, layout: sheets.Layout) -> int | None:
        """Return the warehouse of all rows, None where each row has its own."""
        if "warehouse" in layout.places:
            if code is not None:
                raise sheets.UnreadableFile("The file says itself where the units are; name no warehouse beside it.")
            return None
        if code is not None:
            if code not in self._by_code:
                raise WarehouseNotFound([code])
            return self._by_code[code]
        if len(self._active) != 1:
            raise sheets.UnreadableFile("The file does not say where the units are; name one for all of them.")
        return self._active[0]


def refuse_twin(file_hash: str, *, again: bool, caller: Caller) -> None:
    """Refuse a file that is in the books or on its way there as far as the actor may see, unless it is meant.

    Raises AlreadyImported.
    """
    if again:
        return
    seen = models.StockImport.objects.filter(seen_by(caller))
    twins = seen.filter(file_hash=file_hash, is_dry_run=False, undoes__isnull=True)
    if twin := twins.filter(status__in=ImportStatus.LOADED).order_by("created_at").first():
        raise AlreadyImported(twin.pk, twin.status)


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


def save_loaded(document: models.StockImport) -> None:
    """Save an import whose file nobody else may be loading. Raises AlreadyImported."""
    try:
        document.save()
    except DatabaseError as error:
        # Somebody loads the same file at this moment, or has not done so for longer than a lock is waited for.
        is_twin = transactions.violated_constraint(error) == "inventory_import_once"
        if is_twin or transactions.sqlstate(error) == transactions.LOCK_NOT_AVAILABLE:
            raise AlreadyImported(None, ImportStatus.STAGED) from error
        raise


def _stage(document: models.StockImport, found: Iterator[Row | None], on_rows: OnRows) -> None:
    """Copy rows into the staging table, some thousands at a time, each with the product that its SKU names."""
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
        said = f"; {tidied:,} SKUs had invisible characters or double spaces, which were left out"
        document.understood_as = f"{document.understood_as[: 500 - len(said)]}{said}"


def _batches(found: Iterator[Row | None]) -> Iterator[list[Row | None]]:
    """Yield rows together, as many as need not much memory."""
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
