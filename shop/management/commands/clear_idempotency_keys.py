from typing import Any

from django.core.management.base import BaseCommand

from shop.toolkit import idempotency, transactions

BATCH = 1000


class Command(BaseCommand):
    """Delete idempotency keys that are older than a day. Safe to run at any time, and many times at once."""

    help = __doc__

    def handle(self, *args: Any, **options: Any) -> None:
        total = 0
        while cleared := transactions.run(lambda: idempotency.clear(limit=BATCH)):
            total += cleared
        self.stdout.write(f"{total} keys cleared")
