import sys
from argparse import ArgumentParser
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError

from inventory.imports import documents, staging
from inventory.imports.vocabulary import Mode
from inventory.management.imports import finish, report
from shop.toolkit.callers import SYSTEM
from shop.toolkit.days import shown
from shop.toolkit.db import transactions
from shop.toolkit.files import commands
from shop.toolkit.files.progress import progress
from shop.toolkit.ids import new_id
from shop.toolkit.plurals import counted
from shop.toolkit.refusals import Refusal


class Command(commands.FileCommand):
    """Load stock from a file: CSV, gzipped CSV or .xlsx, in UTF-8, UTF-16 or Windows-1252.

    Prints the encoding and layout that it detected. Layouts, recognized by their columns:
      own                 sku, quantity, and optionally warehouse, expected_on_hand, reason, note, reference
      Shopify inventory   On hand (new), if On hand (current) is on hand now
      Shopify products    Variant SKU and Variant Inventory Qty
      any other           with --map column=field

    One refused row refuses the whole file; --on-error skip loads the others. Refused rows are written to a file of the
    same layout with an error column: correct them and load that file. Run an interrupted command again to resume it.
    undo_import undoes an import.
    """

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--mode",
            choices=Mode.values,
            default="set",
            help="quantity is the stock on hand (set), a change to add (adjust), or what was counted while the stock "
            "records said expected_on_hand; later sales are kept (count)",
        )
        parser.add_argument(
            "--warehouse", metavar="CODE", help="the warehouse of all rows, for a file without a warehouse column"
        )
        parser.add_argument("--again", action="store_true", help="load the file even if it was loaded before")
        parser.add_argument("--note", default="", help="note for rows that have none")

    def handle(self, *args: Any, **options: Any) -> None:
        errors_path = commands.errors_path(options["errors"], options["file"])
        with commands.on_disk(options["file"]) as path:
            document = finish(self._begin(path, options))
        report(self, document, errors_path)
        if document.status in ("refused", "aborted"):
            raise CommandError(_why_not(document))
        done = "Dry run: nothing was written." if document.dry_run else f"Import {document.id} is {document.status}."
        self.stdout.write(done)

    def _begin(self, path: Path, options: dict[str, Any]) -> UUID:
        """Return the unfinished import of this file, or a new one with its rows staged."""
        request = staging.ImportRequest(
            file_name=commands.file_name(options["file"]),
            mode=options["mode"],
            on_error=options["on_error"],
            dry_run=options["dry_run"],
            again=options["again"],
            warehouse=options["warehouse"],
            mapping=commands.mapping(options["mapping"]),
            note=options["note"],
        )
        if not request.dry_run and (unfinished := documents.find_unfinished(path)):
            begun = f"started {shown(unfinished.created_at)}"
            if unfinished.options != request.options:
                other = ", ".join(f"{name} {value!r}" for name, value in unfinished.options.items())
                raise CommandError(
                    f"Import {unfinished.id} of this file, {begun}, was interrupted and had other options: {other}. "
                    "Use the same options to finish it."
                )
            self.stdout.write(f"Resuming import {unfinished.id}, {begun}.")
            return unfinished.id
        import_id = new_id()
        with progress("Reading", total=None, stream=sys.stderr) as show:
            stage = partial(
                staging.stage_import,
                request,
                import_id=import_id,
                path=path,
                limits=staging.FileLimits(commands.MAX_BYTES, commands.MAX_LINES),
                caller=SYSTEM,
                on_rows=show,
            )
            try:
                transactions.run(stage)
            except documents.AlreadyImported as refusal:
                raise CommandError(f"{refusal.fact} Use --again to import it anyway.") from refusal
            except Refusal as refusal:
                raise CommandError(f"{request.file_name}: {refusal}") from refusal
        return import_id


def _why_not(document: documents.StockImport) -> str:
    if document.status == "refused":
        return (
            f"Nothing was written: {document.refused:,} of {counted(document.rows, 'row')} refused. Correct them, or "
            "load the others with --on-error skip."
        )
    return (
        "A sale made a row invalid while the file was being applied. The applied rows were undone by import "
        f"{document.undone_by}; any rows that it refused are units sold meanwhile."
    )
