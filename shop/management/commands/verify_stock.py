import json
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from inventory import services as inventory
from shop import verification


class Command(BaseCommand):
    """Prove that the books are right: check every invariant in one snapshot, print every finding, repair nothing.

    Exit code 1 when anything was found. The verdict is kept for the staff's first page. Sales go on meanwhile.
    """

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="one JSON document instead of lines")

    def handle(self, *args: Any, **options: Any) -> None:
        checked: list[str] = []

        def tell(name: str, finding: inventory.Finding | None) -> None:
            checked.append(name)
            if not options["json"]:
                self._print(name, finding)

        findings = verification.verify(now=timezone.now(), on_check=tell)
        if options["json"]:
            document = {"checked": len(checked), "findings": [asdict(finding) for finding in findings]}
            self.stdout.write(json.dumps(document, default=str, indent=2))
        if findings:
            raise CommandError(f"{len(findings)} of {len(checked)} checks found something.", returncode=1)
        if not options["json"]:
            self.stdout.write(f"All {len(checked)} checks hold.")

    def _print(self, name: str, finding: inventory.Finding | None) -> None:
        self.stdout.write(f"{name}: {finding.sentence if finding else 'ok'}")
        for row in finding.rows if finding else ():
            self.stdout.write("    " + ", ".join(f"{column}={value}" for column, value in row.items()))
        self.stdout.flush()
