#!/usr/bin/env python
"""The operators' command line. Without DATABASE_URL every command works on the embedded PostgreSQL in `.data/`."""

import os
import sys

try:
    import signal
    from importlib import import_module
except KeyboardInterrupt:
    sys.exit(130)

# What runs the shop on a developer's machine; the image does not contain it.
LOCAL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "shop", "local")


def main() -> None:
    # Until everything is imported, SIGINT ends the process at once: a KeyboardInterrupt in the middle of an import
    # prints a traceback, becomes another error, or is swallowed. A SIGINT that is ignored (by a script's background
    # job) stays ignored.
    interruptible = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if interruptible:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
    # Imported by name and here, not above: the line before has to come first, and the image lacks one of the two.
    if os.environ.get("DATABASE_URL") or not os.path.isdir(LOCAL):
        execute = import_module("django.core.management").execute_from_command_line
    else:
        local = import_module("shop.local.command_line")
        local.prepare()
        execute = local.execute
    if interruptible:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        execute(sys.argv)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


if __name__ == "__main__":
    main()
