import shutil
import sys
import tempfile
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from inventory import services as inventory
from inventory.management.imports import finish, report
from shop.toolkit import transactions
from shop.toolkit.ids import new_id
from shop.toolkit.progress import progress
from shop.toolkit.refusals import Refusal

MAX_BYTES = 2 << 30  # that a file may unpack to; a million rows are about 50 MB


class Command(BaseCommand):
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

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        return super().create_parser(prog_name, subcommand, formatter_class=RawDescriptionHelpFormatter, **kwargs)

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", help="- for standard input")
        parser.add_argument(
            "--mode",
            choices=inventory.MODES,
            default="set",
            help="quantity is what is on hand (set), what is added (adjust), or what was counted when "
            "expected_on_hand was in the books, sales since then stay (count)",
        )
        parser.add_argument("--dry-run", action="store_true", help="say what would change, and change nothing")
        parser.add_argument("--on-error", choices=["abort", "skip"], default="abort")
        parser.add_argument("--map", action="append", default=[], metavar="COLUMN=FIELD", dest="mapping")
        parser.add_argument("--warehouse", metavar="CODE", help="for a file without a column of warehouses")
        parser.add_argument("--again", action="store_true", help="load a file that was loaded before")
        parser.add_argument("--note", default="", help="for the movements of rows without one")
        parser.add_argument("--errors", type=Path, metavar="FILE", help="where refused rows go")

    def handle(self, *args: Any, **options: Any) -> None:
        with _on_disk(options["file"]) as path:
            import_id = self._begin(path, options)
            document = finish(import_id)
        errors_path = options["errors"] or Path(f"{Path(document.file_name).name.split('.')[0]}.errors.csv")
        report(self, document, errors_path)
        if document.status in ("refused", "aborted"):
            raise CommandError(_why_not(document))
        done = "Dry run: nothing was written." if document.dry_run else f"Import {document.id} is {document.status}."
        self.stdout.write(done)

    def _begin(self, path: Path, options: dict[str, Any]) -> UUID:
        """Return the import of this file that waits to be gone on with, or a new one with its rows staged."""
        if not options["dry_run"] and (unfinished := inventory.find_unfinished(path)):
            if (unfinished.mode, unfinished.on_error) != (options["mode"], options["on_error"]):
                raise CommandError(
                    f"An import of this file was begun with --mode {unfinished.mode} --on-error {unfinished.on_error} "
                    "and was cut off; call it so again to finish it."
                )
            self.stdout.write(
                f"Going on with the import {unfinished.id}, begun {unfinished.created_at:%Y-%m-%d %H:%M}."
            )
            return unfinished.id
        import_id = new_id()
        request = inventory.ImportRequest(
            file_name="standard input" if options["file"] == "-" else Path(options["file"]).name,
            mode=options["mode"],
            on_error=options["on_error"],
            dry_run=options["dry_run"],
            again=options["again"],
            warehouse=options["warehouse"],
            mapping=_mapping(options["mapping"]),
            note=options["note"],
        )
        with progress("Reading", total=None, stream=sys.stderr) as show:
            stage = partial(
                inventory.stage_import,
                request,
                import_id=import_id,
                path=path,
                max_bytes=MAX_BYTES,
                actor_id=None,
                on_rows=show,
            )
            try:
                transactions.run(stage)
            except inventory.AlreadyImported as refusal:
                raise CommandError(f"{refusal} (--again)") from refusal
            except Refusal as refusal:
                raise CommandError(f"{request.file_name}: {refusal}") from refusal
        return import_id


@contextmanager
def _on_disk(name: str) -> Iterator[Path]:
    """Yield the path of a file; standard input is kept in one first, since it is read more than once."""
    if name != "-":
        if not Path(name).is_file():
            raise CommandError(f"There is no file {name}.")
        yield Path(name)
        return
    with tempfile.NamedTemporaryFile() as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
        file.flush()
        yield Path(file.name)


def _mapping(pairs: list[str]) -> dict[str, str]:
    split = [pair.rpartition("=") for pair in pairs]
    wrong = [pair for pair, (column, _, field) in zip(pairs, split, strict=True) if not (column and field)]
    if wrong:
        raise CommandError(f"--map {wrong[0]}: write column=field, as in --map StockCode=sku.")
    return {column: field for column, _, field in split}


def _why_not(document: inventory.StockImport) -> str:
    if document.status == "refused":
        return f"Nothing was written: {document.refused:,} of {document.rows:,} rows are refused (--on-error skip)."
    return (
        "Stock was sold while the file was being loaded, and a row became wrong by it. What had been written was taken "
        f"back by the import {document.undone_by}; its refused rows, if any, are units that were sold meanwhile."
    )
