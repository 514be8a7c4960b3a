import io
from argparse import ArgumentParser
from typing import Any

import segno
from django.core.management.base import BaseCommand, CommandError

from shop.toolkit.db import transactions
from users import accounts, second_factor


class Command(BaseCommand):
    """Give a member of staff a new second factor: a QR code for their authenticator app, and recovery codes.

    The old second factor stops working, and the account is signed out. With SECOND_FACTOR on, the admin and
    POST /auth/token ask staff for a code.
    """

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email", help="email of the account")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            address, codes = transactions.run(lambda: second_factor.renew_second_factor(options["email"]))
        except accounts.UserNotFound as refusal:
            raise CommandError(str(refusal)) from refusal
        picture = io.StringIO()
        segno.make(address).terminal(out=picture, compact=True)
        self.stdout.write(picture.getvalue())
        self.stdout.write(address)
        self.stdout.write("Recovery codes, each valid once:")
        for code in codes:
            self.stdout.write(f"  {code}")
