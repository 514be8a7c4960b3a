"""Import documents, and their refused rows."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from inventory.imports import models, sql_staging
from inventory.imports.vocabulary import ImportStatus
from inventory.stock import models as stock_models
from inventory.stock.scopes import scope_of
from shop.toolkit.callers import SYSTEM, Caller
from shop.toolkit.db.pages import Page, PageRequest, page_of
from shop.toolkit.files.sheets import Layout, RefusedRow, fingerprint
from shop.toolkit.refusals import Refusal

LISTED_ERRORS = 20
READ_AT_ONCE = 5000
UNAPPROVED, KEPT = timedelta(days=1), timedelta(days=30)


@dataclass(frozen=True)
class LargestChange:
    """One of the largest changes of an import: a stock row's units on hand before and after."""

    line: int
    sku: str
    warehouse: str
    before: int
    after: int


@dataclass(frozen=True)
class ImportUnits:
    """The units that an import added to a warehouse and removed from it."""

    warehouse: str
    units_in: int
    units_out: int


@dataclass(frozen=True)
class StockImport:
    """A file that was loaded, or the undo of one, with its results so far; a dry run has the expected results.

    `new`, `changed`, `unchanged` and `refused` count rows; `warehouses` has the units in and out; `refused_rows` has
    the first twenty refused rows of a finished import. `status` is staged, applying, aborting or undoing until the
    import is finished. Then it is checked (a dry run), refused (nothing was written), applied, aborted (a row became
    invalid half-way, and the applied rows were undone) or undone.
    """

    id: UUID
    status: str
    mode: str
    on_error: str
    dry_run: bool
    is_reviewed: bool
    options: dict[str, Any]
    undoes: UUID | None
    undone_by: UUID | None
    file_name: str
    understood_as: str
    note: str
    actor_id: int | None
    created_at: datetime
    finished_at: datetime | None
    rows: int
    skipped: int
    new: int
    changed: int
    unchanged: int
    refused: int
    warehouses: list[ImportUnits]
    largest: list[LargestChange]
    is_finished: bool
    refused_rows: list[RefusedRow]

    @property
    def done(self) -> int:
        """The number of rows processed so far."""
        return self.new + self.changed + self.unchanged + self.refused


class ImportNotFound(Refusal):
    """No import has this id."""

    def __init__(self, import_id: UUID) -> None:
        super().__init__(f"There is no import {import_id}.")


class AlreadyImported(Refusal):
    """The same file was imported before, or is being imported; `fact` says so without the advice for API clients."""

    def __init__(self, import_id: UUID | None, status: str) -> None:
        self.import_id = import_id
        self.status = status
        self.fact = (
            f"This file was already imported (import {import_id}, {status})."
            if import_id
            else "This file was already imported, or is being imported."
        )
        super().__init__(f"{self.fact} Send `again=true` to import it anyway.")


class NotApprovable(Refusal):
    """Only a dry run made for review can be approved, and only once."""

    def __init__(self, current_status: str) -> None:
        self.current_status = current_status
        super().__init__(f"This import is {current_status}. Only a dry run that awaits review can be approved.")


class NotUndoable(Refusal):
    """Only an applied import can be undone, and an undo cannot."""

    def __init__(self, current_status: str, *, is_undo: bool) -> None:
        self.current_status = current_status
        what = "itself an undo" if is_undo else current_status
        super().__init__(f"This import is {what}. Only an applied file can be undone.")


def get_import(import_id: UUID, *, caller: Caller) -> StockImport:
    """Return an import with its figures. Raises ImportNotFound, also for an import that the caller may not see."""
    return import_of(row_of(import_id, caller))


def find_unfinished(path: Path) -> StockImport | None:
    """Return the unfinished import of this same file, unless it is being undone; None if there is none."""
    waiting = [ImportStatus.STAGED, ImportStatus.APPLYING]
    rows = models.StockImport.objects.filter(file_hash=fingerprint(path), status__in=waiting)
    row = rows.filter(is_dry_run=False).order_by("created_at").first()
    return import_of(row) if row else None


def list_imports(*, page: PageRequest, caller: Caller) -> Page[StockImport]:
    """Return the imports that the caller may see, newest first, without their refused rows. Raises InvalidCursor."""
    rows = models.StockImport.objects.filter(seen_by(caller)).select_related("undone_by")
    return page_of(rows, order=["-created_at", "-id"], request=page).map(partial(import_of, with_refused_rows=False))


def unfinished_imports() -> list[UUID]:
    """Return the ids of unfinished imports and dry runs, oldest first."""
    rows = models.StockImport.objects.filter(status__in=ImportStatus.UNFINISHED, undoes__isnull=True)
    return list(rows.order_by("created_at").values_list("pk", flat=True))


@transaction.atomic(savepoint=False)
def clear_imports(*, now: datetime) -> int:
    """Delete the rows of dry runs not approved within UNAPPROVED, and refused rows older than KEPT; return how many.

    The documents stay, and so do the rows that an undo refused.
    """
    reviewed = models.StockImport.objects.filter(is_dry_run=True, is_reviewed=True)
    unapproved = reviewed.filter(finished_at__lt=now - UNAPPROVED)
    old = models.StockImport.objects.filter(finished_at__lt=now - KEPT, undoes__isnull=True)
    rows, _ = models.ImportRow.objects.filter(stock_import__in=unapproved).delete()
    unapproved.update(is_reviewed=False)
    more, _ = models.ImportRow.objects.filter(stock_import__in=old).delete()
    return rows + more


def refused_rows(import_id: UUID, *, limit: int) -> list[RefusedRow]:
    """Return the first `limit` refused rows of an import, in the file's order. Raises ImportNotFound."""
    return _first_refused(row_of(import_id, SYSTEM), limit)


def refused_sheet(import_id: UUID, *, caller: Caller) -> tuple[list[str], Iterator[list[str]]]:
    """Return the columns and the refused rows of an import as a table in the file's own layout, to be corrected.

    The column `error` says how to correct each row; a later import ignores it. Rows are read lazily. Raises
    ImportNotFound, also for an import that the caller may not see.
    """
    document = row_of(import_id, caller)
    return _layout(document).mendable(_refused(document))


def _refused(document: models.StockImport) -> Iterator[tuple[list[str], RefusedRow]]:
    after = -1
    while found := sql_staging.list_refused(document.pk, after=after, limit=READ_AT_ONCE):
        for row in found:
            yield row.cells, _refused_row(document, row)
        after = found[-1].line


def _first_refused(document: models.StockImport, limit: int) -> list[RefusedRow]:
    return [_refused_row(document, row) for row in sql_staging.list_refused(document.pk, after=-1, limit=limit)]


def _refused_row(document: models.StockImport, row: sql_staging.RefusedRow) -> RefusedRow:
    return _layout(document).refused(row.line, row.cells, row.fault_field, row.fault)


def _layout(document: models.StockImport) -> Layout:
    return Layout(document.understood_as, document.columns, document.places)


def seen_by(caller: Caller) -> Q:
    """Return the condition that a caller may see an import.

    A caller who works in some warehouses only sees the imports that they loaded themselves, except those with rows of
    other warehouses, where they may have worked at that time.
    """
    scope = scope_of(caller)
    if scope.everywhere:
        return Q()
    elsewhere = list(stock_models.Warehouse.objects.exclude(pk__in=scope.places).values_list("code", flat=True))
    return Q(actor_id=caller.actor_id) & ~Q(by_warehouse__has_any_keys=elsewhere)


def locked(import_id: UUID, caller: Caller) -> models.StockImport:
    rows = models.StockImport.objects.select_for_update(no_key=True).filter(seen_by(caller))
    return _found(rows.filter(pk=import_id).first(), import_id)


def row_of(import_id: UUID, caller: Caller) -> models.StockImport:
    rows = models.StockImport.objects.filter(seen_by(caller)).select_related("undone_by")
    return _found(rows.filter(pk=import_id).first(), import_id)


def _found(row: models.StockImport | None, import_id: UUID) -> models.StockImport:
    if row is None:
        raise ImportNotFound(import_id)
    return row


def import_of(row: models.StockImport, *, with_refused_rows: bool = True) -> StockImport:
    undone_by = getattr(row, "undone_by", None)
    is_finished = row.status not in ImportStatus.UNFINISHED
    return StockImport(
        id=row.pk,
        status=str(row.status),
        mode=str(row.mode),
        on_error="skip" if row.skips_refused else "abort",
        dry_run=row.is_dry_run,
        is_reviewed=row.is_reviewed,
        options=row.options,
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
        # A finished import has only refused rows left; before that, finding them would take long.
        refused_rows=_first_refused(row, LISTED_ERRORS) if with_refused_rows and is_finished and row.refused else [],
    )
