#!/usr/bin/env python
"""The operators' door. Without DATABASE_URL every command works on the embedded PostgreSQL in `.data/`."""

import os
import sys

from django.core.management import execute_from_command_line

from shop import embedded


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
    if os.environ.get("DATABASE_URL"):
        execute_from_command_line(sys.argv)
        return
    try:
        with embedded.environment(embedded.DATA_FOLDER):
            execute_from_command_line(sys.argv)
    except embedded.EmbeddedError as problem:
        sys.exit(f"{problem}")


if __name__ == "__main__":
    main()
