"""`manage.py work` as a kill test runs it: with the same places to fail at, and the same bug if there is one."""

import os

import django
from django.core.management import call_command

from tests.chaos import failpoints, mutants


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
    failpoints.install()
    django.setup()
    mutants.plant()
    call_command("work")


if __name__ == "__main__":
    main()
