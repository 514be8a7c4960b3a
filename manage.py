#!/usr/bin/env python
"""The operators' door. Without DATABASE_URL every command works on the embedded PostgreSQL in `.data/`."""

import os
import signal
import sys

import django
from django.core.management import execute_from_command_line

from shop import embedded

ENDINGS = {signal.SIGTERM, signal.SIGHUP, signal.SIGINT}


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
    if os.environ.get("DATABASE_URL"):
        execute_from_command_line(sys.argv)
        return
    # An exception instead of an end at once: the embedded database is stopped on the way out.
    for number in ENDINGS - {signal.SIGINT}:
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    try:
        with embedded.environment(embedded.DATA_FOLDER):
            _import_undisturbed()
            execute_from_command_line(sys.argv)
    except embedded.EmbeddedError as problem:
        sys.exit(f"{problem}")
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


def _import_undisturbed() -> None:
    """Import everything, and hear of signals afterwards: what is raised in the midst of a class comes out as another
    error, with a traceback."""
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDINGS)
    try:
        django.setup()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDINGS)


if __name__ == "__main__":
    main()
