"""What the commands that load files share: going on to the end, and telling what came of it."""

import sys
from functools import partial
from pathlib import Path
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from django.db import Error

from inventory import services as inventory
from shop.toolkit.progress import Progress, progress
from shop.toolkit.sheets import write_sheet

LISTED_ERRORS = 10


def finish(import_id: UUID) -> inventory.StockImport:
    """Take all steps of an import that is left, with progress on stderr. Raises CommandError when it was cut off."""
    total = inventory.get_import(import_id).rows
    try:
        with progress("Applying", total=total, stream=sys.stderr) as show:
            return inventory.finish_import(import_id, on_step=partial(_show, show))
    except Error as error:
        raise CommandError(
            f"The import {import_id} was cut off and has written a part: {error}\n"
            "The same command once more goes on where it stopped."
        ) from error


def _show(show: Progress, document: inventory.StockImport) -> None:
    show(document.done)


def report(command: BaseCommand, document: inventory.StockImport, errors_path: Path) -> None:
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
        _report_errors(command, document, errors_path)


def _report_errors(command: BaseCommand, document: inventory.StockImport, path: Path) -> None:
    command.stdout.write("Refused rows:")
    for row in inventory.refused_rows(document.id, limit=LISTED_ERRORS):
        command.stdout.write(f"  line {row.line}, {row.column} {row.value!r}: {row.detail}")
    if document.refused > LISTED_ERRORS:
        command.stdout.write(f"  ... and {document.refused - LISTED_ERRORS:,} more")
    write_sheet(path, "csv", *inventory.refused_sheet(document.id))
    command.stdout.write(f"All of them, to be mended and loaded again: {path}")
