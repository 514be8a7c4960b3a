"""What commands that load files share."""

import re
import shutil
import sys
import tempfile
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from shop.toolkit.files.sheets import RefusedRow, write_sheet

# What a file may unpack to; a million rows are about 50 MB.
MAX_BYTES, MAX_LINES = 2 << 30, 10_000_000
LISTED_ERRORS = 10


class FileCommand(BaseCommand):
    """A command that loads a file, and keeps the rows that it refuses in another."""

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        # The docstring's own lines: they are a table of layouts.
        return super().create_parser(prog_name, subcommand, formatter_class=RawDescriptionHelpFormatter, **kwargs)

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", help="- for standard input")
        parser.add_argument("--dry-run", action="store_true", help="say what would change, and change nothing")
        parser.add_argument(
            "--on-error",
            choices=["abort", "skip"],
            default="abort",
            help="whether one refused row refuses the file (abort), or is left out (skip)",
        )
        parser.add_argument(
            "--map",
            action="append",
            default=[],
            metavar="COLUMN=FIELD",
            dest="mapping",
            help="which column is which field, in a file of another layout; once for each",
        )
        parser.add_argument("--errors", type=Path, metavar="FILE", help="where refused rows go")

    def keep_refused(
        self, path: Path, count: int, first: Sequence[RefusedRow], table: tuple[list[str], Iterable[Sequence[str]]]
    ) -> None:
        """Print the first refused rows and write all of them, a table of the file's own layout, to `path`."""
        self.stdout.write("Refused rows:")
        for row in first[:LISTED_ERRORS]:
            self.stdout.write(f"  {row.sentence}")
        if count > LISTED_ERRORS:
            self.stdout.write(f"  ... and {count - LISTED_ERRORS:,} more")
        unfinished = path.with_name(f".{path.name}.unfinished")
        write_sheet(unfinished, "csv", *table)
        unfinished.replace(path)
        self.stdout.write(f"All of them, to correct and load again: {path}")


def file_name(argument: str) -> str:
    """Return what to call a file; bytes that are no UTF-8 become question marks."""
    return "standard input" if argument == "-" else Path(argument).name.encode(errors="replace").decode()


def errors_path(given: Path | None, argument: str) -> Path:
    """Return where refused rows go: where the caller said, or into the current folder, named like the file.

    Never onto the file that is loaded: mended rows would be lost. Raises CommandError.
    """
    loaded = Path(argument)
    if given is None:
        return _free_path(file_name(argument))
    if not given.parent.is_dir():
        raise CommandError(f"There is no folder {given.parent} for the refused rows.")
    if given.exists() and loaded.exists() and given.samefile(loaded):
        raise CommandError(f"{given} is the file that is loaded; the refused rows need another.")
    return given


def _free_path(name: str) -> Path:
    stem = re.sub(r"(\.csv|\.gz|\.xlsx|\.errors(-[0-9]+)?)+$", "", name.replace(" ", "-"), flags=re.IGNORECASE)
    for number in count(1):
        path = Path(f"{stem}.errors.csv" if number == 1 else f"{stem}.errors-{number}.csv")
        if not path.exists():
            return path
    raise AssertionError("unreachable: counting has no end")


@contextmanager
def on_disk(argument: str) -> Iterator[Path]:
    """Yield the path of a file; standard input is kept in one first, since files are read more than once."""
    if argument != "-":
        try:
            with Path(argument).open("rb") as file:
                file.read(1)
        except OSError as error:
            raise CommandError(f"{file_name(argument)} cannot be read: {error.strerror}.") from error
        yield Path(argument)
        return
    with tempfile.NamedTemporaryFile() as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
        file.flush()
        yield Path(file.name)


def mapping(pairs: Sequence[str]) -> dict[str, str]:
    """Return the column and field of each `column=field`."""
    split = [pair.rpartition("=") for pair in pairs]
    wrong = [pair for pair, (column, _, field) in zip(pairs, split, strict=True) if not (column and field)]
    if wrong:
        raise CommandError(f"--map {wrong[0]}: write column=field, as in --map StockCode=sku.")
    return {column: field for column, _, field in split}
