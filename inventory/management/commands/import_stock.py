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
from shop.toolkit.refusals import Refusal


class Command(commands.FileCommand):
    """Load stock from a file: CSV, CSV in gzip, or .xlsx, in UTF-8, UTF-16 or Windows-1252; what was found out is said.

    Layouts, known by their columns:
      own                 sku, quantity, and optionally warehouse, expected_on_hand, reason, note, reference
      Shopify inventory   On hand (new), if On hand (current) is on hand now
      Shopify products    Variant SKU and Variant Inventory Qty
      any other           with --map column=field

    Nothing is written unless every row can be, or with --on-error skip those that can. Rows that cannot go to a file of
    the same layout with the error beside them, to be mended and loaded again. A command that was cut off goes on where
    it stopped when it is called again. undo_import takes an import back.
    """

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--mode",
            choices=Mode.values,
            default="set",
            help="quantity is what is on hand (set), what is added (adjust), or what was counted when "
            "expected_on_hand was in the books, sales since then stay (count)",
        )
        parser.add_argument("--warehouse", metavar="CODE", help="for a file without a column of warehouses")
        parser.add_argument("--again", action="store_true", help="load a file that was loaded before")
        parser.add_argument("--note", default="", help="for the movements of rows without one")

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
        """Return the import of this file that waits to be gone on with, or a new one with its rows staged."""
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
            begun = f"begun {shown(unfinished.created_at)}"
            if unfinished.options != request.options:
                other = ", ".join(f"{name} {value!r}" for name, value in unfinished.options.items())
                raise CommandError(
                    f"The import {unfinished.id} of this file, {begun}, was cut off and had other options: {other}. "
                    "Call it so again to finish it."
                )
            self.stdout.write(f"Going on with the import {unfinished.id}, {begun}.")
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
                raise CommandError(f"{refusal} (--again)") from refusal
            except Refusal as refusal:
                raise CommandError(f"{request.file_name}: {refusal}") from refusal
        return import_id


def _why_not(document: documents.StockImport) -> str:
    if document.status == "refused":
        return f"Nothing was written: {document.refused:,} of {document.rows:,} rows are refused (--on-error skip)."
    return (
        "Stock was sold while the file was being loaded, and a row became wrong by it. What had been written was taken "
        f"back by the import {document.undone_by}; its refused rows, if any, are units that were sold meanwhile."
    )
