from typing import Any

from django.core.management.base import BaseCommand

from shop.toolkit import idempotency


class Command(BaseCommand):
    """Delete idempotency keys that are older than a day. Safe to run at any time, and many times at once."""

    help = __doc__

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"{idempotency.clear()} keys cleared")
