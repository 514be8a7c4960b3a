"""What the commands that load files share: going on to the end, and telling what came of it."""

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


def finish(import_id: UUID) -> documents.StockImport:
    """Take all steps of an import that is left, with progress on stderr. Raises CommandError when it was cut off."""
    total = documents.get_import(import_id, caller=SYSTEM).rows
    try:
        with progress("Applying", total=total, stream=sys.stderr) as show:
            return steps.finish_import(import_id, on_step=partial(_show, show))
    except Error as error:
        raise CommandError(
            f"The import {import_id} was cut off: {error}\n"
            "The same command once more goes on where it stopped; so does `manage.py work`."
        ) from error


def _show(show: Progress, document: documents.StockImport) -> None:
    show(document.done)


def report(command: FileCommand, document: documents.StockImport, errors_path: Path) -> None:
    """Print what an import did, and write its refused rows to `errors_path`."""
    say = command.stdout.write
    say(f"{document.file_name}: {document.understood_as}")
    skipped = f", {document.skipped:,} that say nothing of stock" if document.skipped else ""
    say(f"{document.rows:,} rows{skipped}")
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
