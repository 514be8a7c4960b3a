import io
from argparse import ArgumentParser
from typing import Any

import segno
from django.core.management.base import BaseCommand, CommandError

from shop.toolkit.db import transactions
from users import accounts, second_factor


class Command(BaseCommand):
    """Give a member of staff a new second factor: a picture for their authenticator app, and codes for paper.

    What they had is no longer good. Asked for where SECOND_FACTOR is on, by the admin and by POST /auth/token.
    """

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email", help="whose it is")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            address, codes = transactions.run(lambda: second_factor.renew_second_factor(options["email"]))
        except accounts.UserNotFound as refusal:
            raise CommandError(str(refusal)) from refusal
        picture = io.StringIO()
        segno.make(address).terminal(out=picture, compact=True)
        self.stdout.write(picture.getvalue())
        self.stdout.write(address)
        self.stdout.write("Codes for paper, each good once:")
        for code in codes:
            self.stdout.write(f"  {code}")
