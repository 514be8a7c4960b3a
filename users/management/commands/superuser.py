from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from shop.toolkit.db import transactions
from users import accounts


class Command(BaseCommand):
    """Make an existing account an active superuser, for when no superuser is left.

    Its password stays (`changepassword` sets another). `createsuperuser` creates a new account.
    """

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email", help="email of the account")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            transactions.run(lambda: accounts.make_superuser(options["email"]))
        except accounts.UserNotFound as refusal:
            raise CommandError(str(refusal)) from refusal
        self.stdout.write(f"{options['email']} is now a superuser.")
