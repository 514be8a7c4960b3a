"""Stock from files. An import is a document; it is read and staged, checked, and applied chunk by chunk.

Each step is a transaction of its own and knows from the document what is next, so that an import that was cut off goes
on where it stopped, whoever tells it to, and two who tell it at once do nothing twice.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID

from django.db import IntegrityError, OperationalError, transaction
from django.utils import timezone

from inventory import models, sql
from inventory.models import ImportStatus, Mode
from inventory.services._facts import (
    AlreadyImported,
    ImportNotFound,
    ImportUnits,
    LargestChange,
    NotUndoable,
    RefusedRow,
    StockImport,
    WarehouseNotFound,
)
from inventory.services._layouts import ERROR, Layout, Row, read_rows, recognize
from shop.toolkit import sheets, transactions
from shop.toolkit.ids import new_id
from shop.toolkit.pages import Page, PageRequest, page_of

STAGED_AT_ONCE = 5000
# A chunk's stock rows are locked until it is written: a buyer waits for so many rows at most. docs/performance.md
CHUNK_ROWS = 1000
LARGEST = LISTED_ERRORS = 20
UNDO_COLUMNS = ("sku", "warehouse", "quantity")

PATIENCE_SECONDS = 60

OnRows = Callable[[int], None]
OnStep = Callable[[StockImport], None]


@dataclass(frozen=True)
class ImportRequest:
    """How a file is to be taken.

    `mode` is set, adjust or count; `on_error` abort (one refused row refuses all) or skip; `mapping` says which column
    is which field; `warehouse` is for files without a column of them; `again` takes a file that was loaded before.
    """

    file_name: str
    mode: str = "set"
    on_error: str = "abort"
    dry_run: bool = False
    again: bool = False
    warehouse: str | None = None
    mapping: Mapping[str, str] = field(default_factory=dict)
    note: str = ""


def _no_rows(count: int) -> None: ...


@transaction.atomic(savepoint=False)
def stage_import(
    request: ImportRequest,
    *,
    import_id: UUID,
    path: Path,
    max_bytes: int,
    actor_id: int | None,
    on_rows: OnRows = _no_rows,
) -> StockImport:
    """Read a file into a new import that is still to be applied, all rows or none; memory stays constant.

    `path` is a CSV (plain or gzip) or .xlsx file that unpacks to at most `max_bytes`. `on_rows` is told the number of
    rows read so far. Rows that cannot be right are refused one by one, in the document. Raises AlreadyImported,
    WarehouseNotFound; UnreadableFile for a file that is no table of a known layout.
    """
    sql.take_time()
    file_hash = sheets.fingerprint(path)
    if not (request.again or request.dry_run):
        _refuse_twin(file_hash)
    with sheets.open_sheet(path, max_bytes=max_bytes) as sheet:
        layout = recognize(sheet.columns, mapping=request.mapping, mode=request.mode)
        warehouses = _Warehouses()
        default = warehouses.default(request.warehouse) if "warehouse" not in layout.places else None
        document = _document(request, import_id, layout, sheet, file_hash, actor_id)
        _save_new(document)
        found = read_rows(sheet, layout, mode=request.mode, find_warehouse=warehouses.find, default_warehouse=default)
        _stage(document, found, on_rows)
    if not document.rows:
        raise sheets.UnreadableFile("The file names its columns and has no rows that say anything of stock.")
    document.save(update_fields=["rows", "skipped"])
    return _fact(document)


@transaction.atomic(savepoint=False)
def load_import(
    request: ImportRequest, *, import_id: UUID, path: Path, max_bytes: int, actor_id: int | None
) -> StockImport:
    """Stage a file, and finish it at once when it is a dry run or one chunk; else whoever finishes imports will.

    Shapes and refusals are those of `stage_import`.
    """
    document = stage_import(request, import_id=import_id, path=path, max_bytes=max_bytes, actor_id=actor_id)
    if request.dry_run or document.rows <= CHUNK_ROWS:
        while not document.is_finished:
            document = advance_import(import_id)
    return document


def finish_import(import_id: UUID, *, on_step: OnStep) -> StockImport:
    """Take all steps of an unfinished import, each in a transaction of its own; `on_step` is told it after each.

    A step that meets a lock is tried again for PATIENCE_SECONDS. Whatever ends this half-way, calling it again goes on
    from there. Raises ImportNotFound, and database errors.
    """
    document = get_import(import_id)
    while not document.is_finished:
        document = _patiently(partial(transactions.run, partial(advance_import, import_id)))
        on_step(document)
    return document


def _patiently(step: Callable[[], StockImport]) -> StockImport:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return step()
        except OperationalError as error:
            is_busy = transactions.sqlstate(error) in (transactions.LOCK_NOT_AVAILABLE, *transactions.REPEATABLE)
            if not is_busy or time.monotonic() > deadline:
                raise
            time.sleep(0.2)


@transaction.atomic(savepoint=False)
def advance_import(import_id: UUID) -> StockImport:
    """Take the next step of an unfinished import; of a finished one there is none. Raises ImportNotFound."""
    document = _locked(import_id)
    if document.status == ImportStatus.STAGED:
        _check(document)
    elif document.status == ImportStatus.APPLYING:
        _apply_chunk(document)
    elif document.status in (ImportStatus.ABORTING, ImportStatus.UNDOING):
        advance_import(document.undone_by.pk)
        document.refresh_from_db()
    return _fact(document)


@transaction.atomic(savepoint=False)
def undo_import(import_id: UUID, *, undo_id: UUID, actor_id: int | None) -> StockImport:
    """Begin to take back what an import did, by one compensating import; rows are refused where units are gone since.

    It is advanced like any other. Undoing once more gives the rows that were refused another try. Raises
    ImportNotFound, NotUndoable unless the import was applied.
    """
    document = _locked(import_id)
    if document.status == ImportStatus.APPLIED:
        _begin_undo(document, undo_id, actor_id, ImportStatus.UNDOING)
    elif document.status in (ImportStatus.UNDONE, ImportStatus.ABORTED) and document.undone_by.refused:
        _retry_undo(document)
    elif document.status not in (ImportStatus.UNDOING, ImportStatus.UNDONE):
        raise NotUndoable(document.status)
    return _fact(document)


@transaction.atomic(savepoint=False)
def undo_at_once(import_id: UUID, *, undo_id: UUID, actor_id: int | None) -> StockImport:
    """Do the same, and finish it when it is one chunk; else whoever finishes imports will."""
    document = undo_import(import_id, undo_id=undo_id, actor_id=actor_id)
    if document.undone_by and get_import(document.undone_by).rows <= CHUNK_ROWS:
        while not document.is_finished:
            document = advance_import(import_id)
    return document


def get_import(import_id: UUID) -> StockImport:
    """Return an import with its figures. Raises ImportNotFound."""
    return _fact(_row(import_id))


def find_unfinished(path: Path) -> StockImport | None:
    """Return the import of this very file that was begun and not finished."""
    rows = models.StockImport.objects.filter(file_hash=sheets.fingerprint(path), status__in=models.UNFINISHED)
    row = rows.filter(is_dry_run=False).order_by("created_at").first()
    return _fact(row) if row else None


def list_imports(*, page: PageRequest) -> Page[StockImport]:
    """Return imports, newest first. Raises InvalidCursor."""
    rows = models.StockImport.objects.select_related("undone_by")
    return page_of(rows, order=["-created_at", "-id"], request=page).map(_fact)


def unfinished_imports() -> list[UUID]:
    """Return the imports that wait to be advanced, oldest first."""
    rows = models.StockImport.objects.filter(status__in=models.UNFINISHED, is_dry_run=False, undoes__isnull=True)
    return list(rows.order_by("created_at").values_list("pk", flat=True))


def refused_rows(import_id: UUID, *, limit: int) -> list[RefusedRow]:
    """Return the first `limit` refused rows of an import, in the file's order. Raises ImportNotFound."""
    return _first_refused(_row(import_id), limit)


def _first_refused(document: models.StockImport, limit: int) -> list[RefusedRow]:
    return [_refused_row(document, row) for row in sql.list_refused(document.pk, after=-1, limit=limit)]


def refused_sheet(import_id: UUID) -> tuple[list[str], Iterator[list[str]]]:
    """Return the columns and the refused rows of an import as a table of the file's own layout, to be mended.

    Its column `error` says of each what would be right; a file that is loaded may have it. The rows are read as they
    are asked for. Raises ImportNotFound.
    """
    document = _row(import_id)
    columns = list(document.columns)
    if ERROR not in [column.casefold() for column in columns]:
        columns.append(ERROR)
    return columns, _mendable_rows(document, columns)


def _mendable_rows(document: models.StockImport, columns: list[str]) -> Iterator[list[str]]:
    place = [column.casefold() for column in columns].index(ERROR)
    after = -1
    while found := sql.list_refused(document.pk, after=after, limit=STAGED_AT_ONCE):
        for row in found:
            refused = _refused_row(document, row)
            cells = [*row.cells, *[""] * len(columns)][: len(columns)]
            cells[place] = f"line {refused.line}, {refused.column} {refused.value!r}: {refused.detail}"
            yield cells
        after = found[-1].line


def _refused_row(document: models.StockImport, row: sql.RefusedRow) -> RefusedRow:
    place = document.places.get(row.fault_field)
    is_there = place is not None and place < len(row.cells)
    column = document.columns[place] if is_there else row.fault_field
    return RefusedRow(row.line, column, row.cells[place] if is_there else "", row.fault)


class _Warehouses:
    """Warehouses by what files call them: their code, or their name where it is one's alone."""

    def __init__(self) -> None:
        self._by_code: dict[str, int] = {}
        self._by_name: dict[str, list[int]] = {}
        self._active: list[int] = []
        for row in models.Warehouse.objects.all():
            self._by_code[row.code.casefold()] = row.pk
            self._by_name.setdefault(row.name.casefold(), []).append(row.pk)
            if row.is_active:
                self._active.append(row.pk)

    def find(self, text: str) -> int | str:
        """Return the id of a warehouse, or why there is none."""
        if not text:
            return "a warehouse is needed"
        if (found := self._by_code.get(text.casefold())) is not None:
            return found
        named = self._by_name.get(text.casefold(), [])
        if len(named) == 1:
            return named[0]
        if named:
            return "several warehouses have this name; give the code"
        return "there is no such warehouse; create it first, or give the code or name of another"

    def default(self, code: str | None) -> int:
        if code is not None:
            found = self._by_code.get(code.casefold())
            if found is None:
                raise WarehouseNotFound([code])
            return found
        if len(self._active) != 1:
            raise sheets.UnreadableFile("The file does not say where the units are; name one for all of them.")
        return self._active[0]


def _refuse_twin(file_hash: str) -> None:
    twins = models.StockImport.objects.filter(file_hash=file_hash, is_dry_run=False, undoes__isnull=True)
    if twin := twins.filter(status__in=[*models.UNFINISHED, ImportStatus.APPLIED]).order_by("created_at").first():
        raise AlreadyImported(twin.pk, twin.status)


def _document(
    request: ImportRequest, import_id: UUID, layout: Layout, sheet: sheets.Sheet, file_hash: str, actor_id: int | None
) -> models.StockImport:
    return models.StockImport(
        pk=import_id,
        mode=request.mode,
        skips_refused=request.on_error == "skip",
        is_dry_run=request.dry_run,
        again=request.again,
        file_name=request.file_name[-255:],
        file_hash=file_hash,
        understood_as=f"{sheet.understood_as}; {layout.sentence}"[:500],
        columns=layout.columns,
        places=dict(layout.places),
        note=request.note,
        actor_id=actor_id,
    )


def _save_new(document: models.StockImport) -> None:
    try:
        document.save(force_insert=True)
    except IntegrityError as error:
        if transactions.violated_constraint(error) == "inventory_import_once":
            # Somebody loads the same file at this moment; which import it is, they will know.
            raise AlreadyImported(None, ImportStatus.STAGED) from error
        raise


def _stage(document: models.StockImport, found: Iterator[Row | None], on_rows: OnRows) -> None:
    """Copy rows into the staging table, some thousands at a time, each with the product that its SKU names."""
    while batch := list(islice(found, STAGED_AT_ONCE)):
        rows = [row for row in batch if row is not None]
        products = sql.find_skus({row.sku for row in rows if not row.fault and "\0" not in row.sku})
        sql.copy_rows(document.pk, (_staged(row, products) for row in rows))
        document.rows += len(rows)
        document.skipped += len(batch) - len(rows)
        on_rows(document.rows + document.skipped)


def _staged(row: Row, products: Mapping[str, int]) -> tuple[Any, ...]:
    cells = json.dumps(row.cells, ensure_ascii=False)
    if row.fault:
        return row.line, None, None, None, None, "", "", "", cells, row.fault_field, row.fault
    product_id = products.get(row.sku)
    if product_id is None:
        said = f"there is no product with the SKU {row.sku[:80]}; create it first, or correct the SKU"
        return row.line, None, None, None, None, "", "", "", cells, "sku", said
    return (
        row.line, product_id, row.warehouse_id, row.quantity, row.expected_on_hand, row.reason, row.reference, row.note,
        cells, "", "",
    )  # fmt: skip


def _check(document: models.StockImport) -> None:
    """Judge every row before any is applied, and go on, or not."""
    sql.take_time()
    if document.rows > 10 * CHUNK_ROWS:
        sql.count_rows()
    sql.mark_twins(document.pk, mode=document.mode)
    figures = sql.check_rows(document.pk, mode=document.mode, highest=models.MAX_LEVEL)
    document.refused = sql.count_refused(document.pk)
    if document.is_dry_run:
        _add(document, figures)
        _end(document, ImportStatus.CHECKED)
    elif document.refused and not document.skips_refused:
        _end(document, ImportStatus.REFUSED)
    else:
        document.status = ImportStatus.APPLYING
    document.save()


def _apply_chunk(document: models.StockImport) -> None:
    chunk = sql.lock_chunk(document.pk, after=document.position, size=CHUNK_ROWS)
    if chunk.last_line is None:
        _end(document, ImportStatus.APPLIED)
        document.save()
        return None
    left = chunk.rows
    while left:
        figures, refused = sql.merge_chunk(
            document.pk,
            chunk,
            mode=document.mode,
            highest=models.MAX_LEVEL,
            skips=document.skips_refused,
            note=document.note,
            actor_id=document.actor_id,
        )
        _add(document, figures)
        document.refused += refused
        if refused and not document.skips_refused:
            return _abort(document)
        left -= refused + figures.new + figures.changed + figures.unchanged
    document.position = chunk.last_line
    document.save()
    return None


def _add(document: models.StockImport, figures: sql.Figures) -> None:
    document.new += figures.new
    document.changed += figures.changed
    document.unchanged += figures.unchanged
    for code, (units_in, units_out) in figures.by_warehouse.items():
        before_in, before_out = document.by_warehouse.get(code, (0, 0))
        document.by_warehouse[code] = [before_in + units_in, before_out + units_out]
    largest = [*document.largest, *figures.largest]
    document.largest = sorted(largest, key=lambda change: -abs(change["to"] - change["from"]))[:LARGEST]


def _end(document: models.StockImport, status: ImportStatus) -> None:
    sql.drop_rows(document.pk)
    document.status, document.finished_at = status, timezone.now()
    if (undone := document.undoes) is not None:
        was_aborting = undone.status == ImportStatus.ABORTING
        undone.status = ImportStatus.ABORTED if was_aborting else ImportStatus.UNDONE
        undone.finished_at = document.finished_at
        undone.save(update_fields=["status", "finished_at"])


def _abort(document: models.StockImport) -> None:
    """Refuse the file for a row that became wrong since it was checked, and take back the chunks before it."""
    if document.new + document.changed:
        sql.drop_rows(document.pk)
        document.save()
        _begin_undo(document, new_id(), document.actor_id, ImportStatus.ABORTING)
    else:
        _end(document, ImportStatus.REFUSED)
        document.save()


def _begin_undo(document: models.StockImport, undo_id: UUID, actor_id: int | None, status: ImportStatus) -> None:
    undo = models.StockImport(
        pk=undo_id,
        status=ImportStatus.APPLYING,
        mode=Mode.ADJUST,
        skips_refused=True,
        undoes=document,
        file_name=f"undo of {document.file_name}"[:255],
        understood_as="what the ledger says that the import did, taken back",
        columns=UNDO_COLUMNS,
        places={name: place for place, name in enumerate(UNDO_COLUMNS)},
        note=f"undo of the import {document.pk}",
        actor_id=actor_id,
    )
    undo.save(force_insert=True)
    sql.take_time()
    undo.rows = sql.stage_undo(document.pk, undo_id=undo_id)
    undo.save(update_fields=["rows"])
    document.status, document.finished_at = status, None
    document.save(update_fields=["status", "finished_at"])


def _retry_undo(document: models.StockImport) -> None:
    undo = document.undone_by
    sql.retry_refused(undo.pk)
    undo.status, undo.finished_at, undo.position, undo.refused = ImportStatus.APPLYING, None, 0, 0
    undo.save()
    was_aborted = document.status == ImportStatus.ABORTED
    document.status = ImportStatus.ABORTING if was_aborted else ImportStatus.UNDOING
    document.finished_at = None
    document.save(update_fields=["status", "finished_at"])


def _locked(import_id: UUID) -> models.StockImport:
    rows = models.StockImport.objects.select_for_update(no_key=True)
    return _found(rows.filter(pk=import_id).first(), import_id)


def _row(import_id: UUID) -> models.StockImport:
    rows = models.StockImport.objects.select_related("undone_by")
    return _found(rows.filter(pk=import_id).first(), import_id)


def _found(row: models.StockImport | None, import_id: UUID) -> models.StockImport:
    if row is None:
        raise ImportNotFound(import_id)
    return row


def _fact(row: models.StockImport) -> StockImport:
    undone_by = getattr(row, "undone_by", None)
    is_finished = row.status not in models.UNFINISHED
    return StockImport(
        id=row.pk,
        status=str(row.status),
        mode=str(row.mode),
        on_error="skip" if row.skips_refused else "abort",
        dry_run=row.is_dry_run,
        undoes=row.undoes_id,
        undone_by=undone_by.pk if undone_by else None,
        file_name=row.file_name,
        understood_as=row.understood_as,
        note=row.note,
        actor_id=row.actor_id,
        created_at=row.created_at,
        finished_at=row.finished_at,
        rows=row.rows,
        skipped=row.skipped,
        new=row.new,
        changed=row.changed,
        unchanged=row.unchanged,
        refused=row.refused,
        warehouses=[
            ImportUnits(code, units_in, units_out) for code, (units_in, units_out) in sorted(row.by_warehouse.items())
        ],
        largest=[
            LargestChange(change["line"], change["sku"], change["warehouse"], change["from"], change["to"])
            for change in row.largest
        ],
        is_finished=is_finished,
        # Of a finished import only refused rows are left; before that, looking for them would take long.
        refused_rows=_first_refused(row, LISTED_ERRORS) if is_finished and row.refused else [],
    )
