"""What is known of imports, and what of them was refused."""

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
    """The units that an import brought into a warehouse and took out of it."""

    warehouse: str
    units_in: int
    units_out: int


@dataclass(frozen=True)
class StockImport:
    """A file that was loaded, or the undoing of one, and what it did so far; of a dry run, what it would do.

    `new`, `changed`, `unchanged` and `refused` count rows; `warehouses` has the units in and out; `refused_rows` are
    the first twenty refused rows of a finished import. `status` is staged,
    applying, aborting or undoing while there is more to do, then checked (a dry run), refused (nothing was written),
    applied, aborted (a row became wrong half-way, and what was written was taken back) or undone.
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
        """The rows that are dealt with."""
        return self.new + self.changed + self.unchanged + self.refused


class ImportNotFound(Refusal):
    """No import has this id."""

    def __init__(self, import_id: UUID) -> None:
        super().__init__(f"There is no import {import_id}.")


class AlreadyImported(Refusal):
    """The same file was loaded before, or is being loaded."""

    def __init__(self, import_id: UUID | None, status: str) -> None:
        self.import_id = import_id
        self.status = status
        which = f", as the import {import_id} ({status})" if import_id else ", or is being loaded"
        super().__init__(f"This very file was loaded already{which}; say so if you mean to load it again.")


class NotApprovable(Refusal):
    """Only a dry run that was made for review can be approved, and once."""

    def __init__(self, current_status: str) -> None:
        self.current_status = current_status
        super().__init__(f"The import is {current_status}; only a dry run that waits for review can be approved.")


class NotUndoable(Refusal):
    """Only an import that was applied can be undone, and an undo cannot."""

    def __init__(self, current_status: str, *, is_undo: bool) -> None:
        self.current_status = current_status
        what = "itself an undo" if is_undo else current_status
        super().__init__(f"The import is {what}; only a file that was applied can be taken back.")


def get_import(import_id: UUID, *, caller: Caller) -> StockImport:
    """Return an import with its figures; with `visible_to`, one that this user may see. Raises ImportNotFound."""
    return fact(row_of(import_id, caller))


def find_unfinished(path: Path) -> StockImport | None:
    """Return the import of this very file that was begun, and is neither finished nor being taken back."""
    waiting = [ImportStatus.STAGED, ImportStatus.APPLYING]
    rows = models.StockImport.objects.filter(file_hash=fingerprint(path), status__in=waiting)
    row = rows.filter(is_dry_run=False).order_by("created_at").first()
    return fact(row) if row else None


def list_imports(*, page: PageRequest, caller: Caller) -> Page[StockImport]:
    """Return imports, newest first, without their refused rows; with `visible_to`, those that this user may see.

    Raises InvalidCursor.
    """
    rows = models.StockImport.objects.filter(seen_by(caller)).select_related("undone_by")
    return page_of(rows, order=["-created_at", "-id"], request=page).map(partial(fact, with_refused_rows=False))


def unfinished_imports() -> list[UUID]:
    """Return the imports and dry runs that wait to be advanced, oldest first."""
    rows = models.StockImport.objects.filter(status__in=ImportStatus.UNFINISHED, undoes__isnull=True)
    return list(rows.order_by("created_at").values_list("pk", flat=True))


@transaction.atomic(savepoint=False)
def clear_imports(*, now: datetime) -> int:
    """Forget rows that nobody will ask for: of dry runs that were not approved, and refused ones after KEPT; return
    how many.

    The documents of what was loaded stay, and so do the rows that an undo could not take back.
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
    """Return the columns and the refused rows of an import as a table of the file's own layout, to be mended.

    Its column `error` says of each what would be right; a file that is loaded may have it. The rows are read as they
    are asked for. With `visible_to`, of one that this user may see. Raises ImportNotFound.
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
    """Return which imports a caller may see: who works in some warehouses only, those that they loaded themselves and
    that say nothing of other warehouses, where they may have worked then."""
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


def fact(row: models.StockImport, *, with_refused_rows: bool = True) -> StockImport:
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
        # Of a finished import only refused rows are left; before that, looking for them would take long.
        refused_rows=_first_refused(row, LISTED_ERRORS) if with_refused_rows and is_finished and row.refused else [],
    )
