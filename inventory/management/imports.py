"""Shared by the commands that import and undo: finish an import, and report its results."""

import sys
from functools import partial
from pathlib import Path
from uuid import UUID

from django.core.management.base import CommandError
from django.db import Error

from inventory.imports import documents, steps
from shop.toolkit.callers import SYSTEM
from shop.toolkit.files.commands import FileCommand
from shop.toolkit.files.progress import Progress, progress
from shop.toolkit.plurals import counted


def finish(import_id: UUID) -> documents.StockImport:
    """Finish an import, with progress on stderr. Raises CommandError when a database error interrupts it."""
    total = documents.get_import(import_id, caller=SYSTEM).rows
    try:
        with progress("Applying", total=total, stream=sys.stderr) as show:
            return steps.finish_import(import_id, on_step=partial(_show, show))
    except Error as error:
        raise CommandError(
            f"Import {import_id} was interrupted: {error}\n"
            "Run the same command again, or `manage.py work`, to resume it."
        ) from error


def _show(show: Progress, document: documents.StockImport) -> None:
    show(document.done)


def report(command: FileCommand, document: documents.StockImport, errors_path: Path) -> None:
    """Print the results of an import, and write its refused rows to `errors_path`."""
    say = command.stdout.write
    say(f"{document.file_name}: {document.understood_as}")
    skipped = f", {document.skipped:,} without stock skipped" if document.skipped else ""
    say(f"{counted(document.rows, 'row')}{skipped}")
    for name in ("new", "changed", "unchanged", "refused"):
        say(f"  {name:<10}{getattr(document, name):>12,}")
    if document.warehouses:
        say(f"  {'warehouse':<20}{'units in':>16}{'units out':>16}")
    for units in document.warehouses:
        say(f"  {units.warehouse:<20}{units.units_in:>16,}{units.units_out:>16,}")
    if document.largest:
        say("Largest changes:")
    for change in document.largest:
        difference = f"{change.before} -> {change.after} ({change.after - change.before:+})"
        say(f"  line {change.line}: {change.sku} in {change.warehouse} {difference}")
    if document.refused:
        table = documents.refused_sheet(document.id, caller=SYSTEM)
        command.keep_refused(errors_path, document.refused, document.refused_rows, table)
