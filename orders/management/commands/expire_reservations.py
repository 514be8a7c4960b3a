import re
import time
from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand
from django.db import Error, connection
from django.utils import timezone

from orders import lifecycle
from shop.toolkit import transactions

BATCH = 100
SECONDS = {"s": 1, "m": 60, "h": 3600}


def duration(text: str) -> int:
    """Return the seconds in a text such as 30s, 5m or 1h."""
    found = re.fullmatch(r"([1-9][0-9]{0,5})([smh])", text)
    if found is None:
        raise ArgumentTypeError(f"{text!r} is no duration; write 30s, 5m or 1h")
    return int(found[1]) * SECONDS[found[2]]


class Command(BaseCommand):
    """End the holds that are past their deadline, and the orders that hung on them; once, or again and again.

    Safe to run many times at once: each hold is expired by one of them. A buyer never waits for it, since a checkout
    that falls short expires overdue holds by itself.
    """

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--every", type=duration, metavar="30s", help="keep running, with this pause in between")

    def handle(self, *args: Any, **options: Any) -> None:
        while True:
            try:
                self.stdout.write(f"{_expire_all()} reservations expired")
                self.stdout.flush()
            except Error as error:
                if not options["every"]:
                    raise
                # A restarted database or a lock that could not be had: the next round finds what this one left.
                self.stderr.write(f"This round failed, the next is in {options['every']} s: {error}")
                connection.close()
            if not options["every"]:
                return
            time.sleep(options["every"])


def _expire_all() -> int:
    total = 0
    while expired := transactions.run(lambda: lifecycle.expire_due(limit=BATCH, now=timezone.now())):
        total += expired
    return total
