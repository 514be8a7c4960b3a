from argparse import ArgumentParser
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError

from inventory.imports import documents, steps
from inventory.management.imports import finish, report
from shop.toolkit.callers import SYSTEM
from shop.toolkit.db import transactions
from shop.toolkit.files.commands import FileCommand
from shop.toolkit.ids import new_id
from shop.toolkit.plurals import counted
from shop.toolkit.refusals import Refusal


class Command(FileCommand):
    """Undo an import with one batch of reverse movements.

    Refuses each row whose units have been sold or promised since. Run it again to retry the refused rows.
    """

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("import_id", type=UUID)

    def handle(self, *args: Any, import_id: UUID, **options: Any) -> None:
        try:
            begun = transactions.run(
                partial(steps.undo_import, import_id, undo_id=new_id(), caller=SYSTEM),
            )
        except Refusal as refusal:
            raise CommandError(str(refusal)) from refusal
        assert begun.undone_by is not None, "an undo that has begun has a document"
        finish(import_id)
        undo = documents.get_import(begun.undone_by, caller=SYSTEM)
        report(self, undo, Path(f"undo-{import_id}.errors.csv"))
        if undo.refused:
            raise CommandError(f"{undo.refused:,} of {counted(undo.rows, 'row')} could not be undone.")
        self.stdout.write(f"Import {import_id} is undone.")
