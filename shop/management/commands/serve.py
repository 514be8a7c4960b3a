import os
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from shop import serving


class Command(BaseCommand):
    """Serve the shop on $PORT, as containers and service managers start it: this process becomes the server.

    WEB_WORKERS processes, each of which works on DATABASE_POOL_SIZE requests at once. On SIGTERM no request is begun
    any more, what was begun is answered, and the server ends. It migrates nothing; `manage.py migrate` is a step of its
    own.
    """

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="the address to listen on; 0.0.0.0 in a container")

    def handle(self, *args: Any, host: str, **options: Any) -> None:
        command = serving.command(port=settings.PORT, host=host, workers=settings.WEB_WORKERS)
        os.chdir(serving.ROOT)
        os.execv(command[0], command)  # noqa: S606  # no shell, and signals reach the server itself
