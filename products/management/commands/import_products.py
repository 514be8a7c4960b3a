import sys
from argparse import ArgumentParser
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.db import transaction

from products import files, imports
from shop.toolkit.db import transactions
from shop.toolkit.files import commands
from shop.toolkit.files.progress import progress
from shop.toolkit.files.sheets import RefusedRow
from shop.toolkit.plurals import counted
from shop.toolkit.refusals import Refusal

AT_ONCE = 1000


class Command(commands.FileCommand):
    """Load products from a file, each with its inventory item. import_stock loads the stock of the same file.

    CSV, gzipped CSV or .xlsx. Layouts, recognized by their columns:
      own                 sku, name, price, and optionally currency, description, is_active
      Shopify products    one product per variant, named by its options; a variant without a SKU gets one made from
                          its handle and options; rows that only have images are skipped
      any other           with --map column=field

    Existing products are updated to match the file. One refused row refuses the whole file; --on-error skip loads the
    others. Run an interrupted command again to finish it: loading a product twice changes nothing.
    """

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--currency", default=settings.DEFAULT_CURRENCY, help="currency of prices without one")

    def handle(self, *args: Any, **options: Any) -> None:
        errors_path = commands.errors_path(options["errors"], options["file"])
        with commands.on_disk(options["file"]) as path:
            mapping = commands.mapping(options["mapping"])
            file = files.ProductFile(path, commands.MAX_BYTES, options["currency"], mapping)
            try:
                refused = self._read(file, commands.file_name(options["file"]), errors_path)
                if refused and options["on_error"] == "abort":
                    raise CommandError(
                        f"Nothing was written: {counted(refused, 'row')} refused. Correct them, or load the others "
                        "with --on-error skip."
                    )
                done = self._write(file, dry_run=options["dry_run"])
            except Refusal as refusal:
                raise CommandError(f"{commands.file_name(options['file'])}: {refusal}") from refusal
        for name in ("new", "changed", "unchanged"):
            self.stdout.write(f"  {name:<10}{getattr(done, name):>12,}")
        self.stdout.write(f"  {'refused':<10}{refused:>12,}")
        self.stdout.write("Dry run: nothing was written." if options["dry_run"] else "Done.")

    def _read(self, file: files.ProductFile, name: str, errors_path: Path) -> int:
        """Check every row before any is written; write the refused ones to a file, and return how many."""
        refused, count, tidied = [], 0, 0
        with files.read_catalogue(file) as catalogue:
            self.stdout.write(f"{name}: {catalogue.understood_as}")
            with progress("Reading", total=None, stream=sys.stderr) as show:
                for count, (cells, row) in enumerate(catalogue.rows, start=1):  # the last is the total
                    if isinstance(row, RefusedRow):
                        refused.append((cells, row))
                    tidied += isinstance(row, files.Row) and row.is_tidied
                    show(count)
        self.stdout.write(counted(count, "row"))
        if tidied:
            self.stdout.write(
                f"{counted(tidied, 'SKU')} had invisible characters or double spaces, which were removed."
            )
        if refused:
            self.keep_refused(
                errors_path, len(refused), [row for _, row in refused], catalogue.layout.mendable(refused)
            )
        return len(refused)

    def _write(self, file: files.ProductFile, *, dry_run: bool) -> imports.Imported:
        done = imports.Imported()
        with (
            files.read_catalogue(file) as catalogue,
            progress("Writing", total=None, stream=sys.stderr) as show,
        ):
            rows = (row for _, row in catalogue.rows if isinstance(row, files.Row))
            while batch := list(islice(rows, AT_ONCE)):
                write = partial(imports.import_products, batch, currency=file.currency)
                done += _rolled_back(write) if dry_run else transactions.run(write)
                show(done.new + done.changed + done.unchanged)
        return done


def _rolled_back(write: Callable[[], imports.Imported]) -> imports.Imported:
    with transaction.atomic(durable=True):
        done = write()
        transaction.set_rollback(True)
    return done
