from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from shop.toolkit.db import transactions
from users import accounts


class Command(BaseCommand):
    """Make an account that is there an active superuser: the way back when no superuser is left who could.

    Its password stays (`changepassword` sets another). `createsuperuser` makes a new account.
    """

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email", help="whose account it is")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            transactions.run(lambda: accounts.make_superuser(options["email"]))
        except accounts.UserNotFound as refusal:
            raise CommandError(str(refusal)) from refusal
        self.stdout.write(f"{options['email']} is a superuser now.")
