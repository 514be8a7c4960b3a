#!/usr/bin/env python
"""The operators' door. Without DATABASE_URL every command works on the embedded PostgreSQL in `.data/`."""

import os
import signal
import sys

from django.core.management import execute_from_command_line

from shop import embedded


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
    if os.environ.get("DATABASE_URL"):
        execute_from_command_line(sys.argv)
        return
    # An exception instead of an end at once: the embedded database is stopped on the way out.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    try:
        with embedded.environment(embedded.DATA_FOLDER):
            execute_from_command_line(sys.argv)
    except embedded.EmbeddedError as problem:
        sys.exit(f"{problem}")
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


if __name__ == "__main__":
    main()
