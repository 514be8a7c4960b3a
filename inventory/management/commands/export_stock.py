import os
import shutil
import sys
from argparse import ArgumentParser
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from inventory.imports import export
from shop.toolkit.callers import SYSTEM
from shop.toolkit.files.sheets import FORMATS
from shop.toolkit.plurals import counted
from shop.toolkit.refusals import Refusal


class Command(BaseCommand):
    """Export the stock to a file (.csv or .xlsx) as of one moment.

    Edit the quantities and load the file with import_stock: each is set if the stock on hand has not changed meanwhile.
    """

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", help="ends in .csv or .xlsx; - for CSV on standard output")
        parser.add_argument("--warehouse", metavar="CODE", help="only this warehouse")
        parser.add_argument(
            "--low-stock", action="store_true", default=None, help="only stock at or below its reorder point"
        )
        parser.add_argument("--search", default="", help="words of the SKU and name")

    def handle(self, *args: Any, **options: Any) -> None:
        target = Path(options["file"])
        kind = "csv" if options["file"] == "-" else target.suffix.lstrip(".").lower()
        if kind not in FORMATS:
            raise CommandError(f"The file name {target.name} must end in .csv or .xlsx.")
        # Written beside the target and moved into place when complete: nobody reads a partial file.
        folder = None if options["file"] == "-" else target.parent
        try:
            with TemporaryDirectory(prefix=".export-", dir=folder) as made_in:
                path = Path(made_in) / "file"
                filters = {name: options[name] for name in ("warehouse", "low_stock", "search")}
                count = export.export_stock(path, kind=kind, **filters, caller=SYSTEM)
                if options["file"] == "-":
                    with path.open("rb") as file:
                        shutil.copyfileobj(file, sys.stdout.buffer)
                    return
                os.replace(path, target)
        except Refusal as refusal:
            raise CommandError(str(refusal)) from refusal
        except OSError as error:
            raise CommandError(f"{target} cannot be written: {error.strerror}.") from error
        self.stdout.write(f"Wrote {counted(count, 'row')} to {target}")
