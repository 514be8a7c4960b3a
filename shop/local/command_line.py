"""`manage.py` without DATABASE_URL: commands work on the embedded PostgreSQL in `.data/`."""

import signal
import sys
from importlib import import_module

import django
from django.conf import settings
from django.core.management import execute_from_command_line

from shop.local import embedded


def prepare() -> None:
    """Set the environment and import what commands need. Nothing is started, so a signal may end the process here."""
    try:
        embedded.set_environment(embedded.DATA_FOLDER)
    except embedded.EmbeddedError as problem:
        sys.exit(f"{problem}")
    django.setup()
    import_module(settings.ROOT_URLCONF)  # Django's checks would import it later, while the database runs


def execute(arguments: list[str]) -> None:
    """Run a command while the embedded PostgreSQL runs, which stops afterwards unless another process uses it."""
    if arguments[1:2] == ["serve"]:
        sys.exit("The embedded PostgreSQL would stop with this command: use `run`, or set DATABASE_URL.")
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # by nohup
            # An exception instead of the end of the process: the database is stopped on the way out.
            signal.signal(number, lambda number, _: sys.exit(128 + number))
    try:
        with embedded.own_server(embedded.DATA_FOLDER):
            execute_from_command_line(arguments)
    except embedded.EmbeddedError as problem:
        sys.exit(f"{problem}")
