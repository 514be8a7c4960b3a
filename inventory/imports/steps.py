"""The steps of an import: its rows are staged, checked, and applied in chunks.

Each step is a transaction of its own, and the document records which step is next. So any process can resume an
interrupted import, and two processes that do so at once do nothing twice.
"""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from uuid import UUID

from django.db import OperationalError, transaction
from django.utils import timezone

from inventory.imports import models, sql, sql_staging
from inventory.imports.documents import NotApprovable, NotUndoable, StockImport, get_import, import_of, locked
from inventory.imports.staging import FileLimits, ImportRequest, refuse_duplicate, save_unless_duplicate, stage_import
from inventory.imports.vocabulary import ImportStatus, Mode
from inventory.stock import sql_claims
from inventory.stock.claims import expire
from inventory.stock.limits import MAX_LEVEL
from shop.toolkit import jobs
from shop.toolkit.callers import SYSTEM, Caller
from shop.toolkit.db import transactions
from shop.toolkit.ids import new_id

# The stock rows of a chunk are locked until it is written, so its size limits how long buyers wait: docs/performance.md
CHUNK_ROWS = 1000
LARGEST = 20
FINISH_IMPORT = "finish_import"  # the job that calls finish_import
ONE_IMPORT = "imports"  # the lock of that job: one import at a time
UNDO_COLUMNS = ("sku", "warehouse", "quantity")

PATIENCE_SECONDS = 600  # another process may be checking the same million rows

OnStep = Callable[[StockImport], None]


@transaction.atomic(savepoint=False)
def load_import(
    request: ImportRequest, *, import_id: UUID, path: Path, limits: FileLimits, caller: Caller
) -> StockImport:
    """Stage a file. Finish the import at once if it fits one chunk, dry run or not; otherwise leave it to a worker.

    Raises what `stage_import` raises.
    """
    document = stage_import(request, import_id=import_id, path=path, limits=limits, caller=caller)
    return _finish_if_small(document)


def _finish_if_small(document: StockImport) -> StockImport:
    if document.rows <= CHUNK_ROWS:
        while not document.is_finished:
            document = advance_import(document.id)
    else:
        _defer_finish(document.id)
    return document


def _defer_finish(import_id: UUID) -> None:
    jobs.defer(FINISH_IMPORT, lock=ONE_IMPORT, import_id=str(import_id))


def finish_import(import_id: UUID, *, on_step: OnStep) -> StockImport:
    """Take all remaining steps of an import, each in a transaction of its own; call `on_step` after each.

    A step that meets a lock is retried for PATIENCE_SECONDS, with a call of `on_step` for each attempt. Call this again
    after a failure to resume the import. Raises ImportNotFound, and database errors.
    """
    document = get_import(import_id, caller=SYSTEM)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not document.is_finished:
        try:
            document = transactions.run(partial(advance_import, import_id))
            deadline = time.monotonic() + PATIENCE_SECONDS
        except OperationalError as error:
            if transactions.sqlstate(error) not in transactions.CONTENDED or time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        on_step(document)
    return document


@transaction.atomic(savepoint=False)
def advance_import(import_id: UUID) -> StockImport:
    """Take the next step of an import; do nothing if it is finished. Raises ImportNotFound."""
    document = locked(import_id, SYSTEM)
    if document.status == ImportStatus.STAGED:
        _check(document)
    elif document.status == ImportStatus.APPLYING:
        _apply_chunk(document)
    elif document.status in (ImportStatus.ABORTING, ImportStatus.UNDOING):
        advance_import(document.undone_by.pk)
        document.refresh_from_db()
    return import_of(document)


@transaction.atomic(savepoint=False)
def approve_import(import_id: UUID, *, caller: Caller) -> StockImport:
    """Turn a reviewed dry run into an import that is still to be applied; its rows are checked again first.

    Raises ImportNotFound, NotApprovable unless it is a dry run that awaits review, AlreadyImported.
    """
    document = locked(import_id, caller)
    if not (document.status == ImportStatus.CHECKED and document.is_reviewed):
        raise NotApprovable(document.status)
    refuse_duplicate(document.file_hash, again=document.again, caller=caller)
    document.status, document.is_dry_run, document.finished_at = ImportStatus.STAGED, False, None
    document.new = document.changed = document.unchanged = document.refused = 0
    document.by_warehouse, document.largest = {}, []
    # Refused rows may be valid by now, so they are checked again.
    sql_staging.lift_timeouts()
    sql_staging.retry_refused(document.pk)
    save_unless_duplicate(document)
    return import_of(document)


@transaction.atomic(savepoint=False)
def approve_at_once(import_id: UUID, *, caller: Caller) -> StockImport:
    """Approve as `approve_import` does; finish at once if it fits one chunk, otherwise leave it to a worker."""
    return _finish_if_small(approve_import(import_id, caller=caller))


@transaction.atomic(savepoint=False)
def undo_import(import_id: UUID, *, undo_id: UUID, caller: Caller) -> StockImport:
    """Begin to undo an import by one compensating import, which refuses rows whose units are gone.

    It is advanced like any other import. Undoing again retries the refused rows. Raises ImportNotFound, NotUndoable
    unless the import was applied.
    """
    document = locked(import_id, caller)
    if document.undoes_id is not None:
        raise NotUndoable(document.status, is_undo=True)
    if document.status == ImportStatus.APPLIED:
        _begin_undo(document, undo_id, caller.actor_id, ImportStatus.UNDOING)
    elif document.status in (ImportStatus.UNDONE, ImportStatus.ABORTED) and document.undone_by.refused:
        _retry_undo(document)
    elif document.status not in (ImportStatus.UNDOING, ImportStatus.UNDONE):
        raise NotUndoable(document.status, is_undo=False)
    return import_of(document)


@transaction.atomic(savepoint=False)
def undo_at_once(import_id: UUID, *, undo_id: UUID, caller: Caller) -> StockImport:
    """Undo as `undo_import` does; finish at once if it fits one chunk, otherwise leave it to a worker."""
    document = undo_import(import_id, undo_id=undo_id, caller=caller)
    if document.undone_by and get_import(document.undone_by, caller=SYSTEM).rows <= CHUNK_ROWS:
        while not document.is_finished:
            document = advance_import(import_id)
    else:
        _defer_finish(import_id)
    return document


def _check(document: models.StockImport) -> None:
    """Check every row before any is applied; then end the import, or let it be applied."""
    sql_staging.lift_timeouts()
    if document.rows > 10 * CHUNK_ROWS:
        sql_staging.analyze_rows()
    sql_staging.refuse_conflicts(document.pk, mode=document.mode)
    figures = sql.check_rows(document.pk, mode=document.mode, highest=MAX_LEVEL)
    document.refused = sql_staging.count_refused(document.pk)
    if document.is_dry_run:
        _add(document, figures)
        _end(document, ImportStatus.CHECKED)
    elif document.refused and not document.skips_refused:
        _end(document, ImportStatus.REFUSED)
    else:
        document.status = ImportStatus.APPLYING
    document.save()


def _apply_chunk(document: models.StockImport) -> None:
    chunk = sql.next_chunk(document.pk, after=document.position, size=CHUNK_ROWS)
    if chunk is None:
        _end(document, ImportStatus.APPLIED)
        document.save()
        return
    # Overdue holds must not block units. They are locked before their stock rows, as everywhere.
    if overdue := sql_claims.lock_overdue(sql.chunk_products(document.pk, chunk)):
        sql.lock_chunk(document.pk, chunk, claimed_by=overdue)
        expire(overdue, caller=SYSTEM)
    # Lock again in each round: another transaction may have created a missing stock row meanwhile.
    while sql.lock_chunk(document.pk, chunk):
        figures, refused = sql.merge_chunk(
            document.pk,
            chunk,
            mode=document.mode,
            highest=MAX_LEVEL,
            skips=document.skips_refused,
            note=document.note,
            actor_id=document.actor_id,
        )
        _add(document, figures)
        document.refused += refused
        if refused and not document.skips_refused:
            _abort(document)
            return
    document.position = chunk.last_line
    document.save()


def _add(document: models.StockImport, figures: sql.Figures) -> None:
    document.new += figures.new
    document.changed += figures.changed
    document.unchanged += figures.unchanged
    for code, (units_in, units_out) in figures.by_warehouse.items():
        before_in, before_out = document.by_warehouse.get(code, (0, 0))
        document.by_warehouse[code] = [before_in + units_in, before_out + units_out]
    largest = [*document.largest, *figures.largest]
    document.largest = sorted(largest, key=lambda change: (-abs(change["to"] - change["from"]), change["line"]))[
        :LARGEST
    ]


def _end(document: models.StockImport, status: ImportStatus) -> None:
    if not (status == ImportStatus.CHECKED and document.is_reviewed):
        sql_staging.drop_rows(document.pk)
    document.status, document.finished_at = status, timezone.now()
    if (undone := document.undoes) is not None:
        was_aborting = undone.status == ImportStatus.ABORTING
        undone.status = ImportStatus.ABORTED if was_aborting else ImportStatus.UNDONE
        undone.finished_at = document.finished_at
        undone.save(update_fields=["status", "finished_at"])


def _abort(document: models.StockImport) -> None:
    """Refuse the file because a row became invalid after the check, and undo the chunks before it."""
    sql_staging.lift_timeouts()
    if document.new + document.changed:
        sql_staging.drop_rows(document.pk)
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
        understood_as="the reverse of the import's movements in the ledger",
        columns=UNDO_COLUMNS,
        places={name: place for place, name in enumerate(UNDO_COLUMNS)},
        note=f"undo of the import {document.pk}",
        actor_id=actor_id,
    )
    undo.save(force_insert=True)
    sql_staging.lift_timeouts()
    undo.rows = sql_staging.stage_undo(document.pk, undo_id=undo_id)
    undo.save(update_fields=["rows"])
    document.status, document.finished_at = status, None
    document.save(update_fields=["status", "finished_at"])


def _retry_undo(document: models.StockImport) -> None:
    undo = document.undone_by
    sql_staging.lift_timeouts()
    sql_staging.retry_refused(undo.pk)
    undo.status, undo.finished_at, undo.position, undo.refused = ImportStatus.APPLYING, None, 0, 0
    undo.save()
    was_aborted = document.status == ImportStatus.ABORTED
    document.status = ImportStatus.ABORTING if was_aborted else ImportStatus.UNDOING
    document.finished_at = None
    document.save(update_fields=["status", "finished_at"])
