import contextlib
import io
import json
import os
import re
import secrets
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connections
from django.db.backends.postgresql.base import DatabaseWrapper

from products import services as products
from shop.local import embedded, supervisor
from shop.local.steps import step
from shop.toolkit.db import transactions
from shop.toolkit.db.pages import PageRequest
from users import services as users

DEFAULT_EMAIL = "admin@example.com"


class Command(BaseCommand):
    """Start the whole shop: migrate, make a staff user, load a demo catalogue, serve on 127.0.0.1:$PORT, and work off
    what nobody waits for.

    Safe to repeat: what is there already stays. Ctrl-C or SIGTERM stops all of it.
    """

    help = __doc__

    def handle(self, *args: Any, **options: Any) -> None:
        port = settings.PORT
        with contextlib.ExitStack() as stack:
            if embedded.holds(settings.DATABASES["default"]["HOST"]):
                try:
                    stack.enter_context(embedded.only_runner(embedded.DATA_FOLDER))
                except embedded.EmbeddedError as problem:
                    raise CommandError(str(problem)) from problem
            stack.enter_context(supervisor.only_one_on(port))
            _migrate()
            self._ensure_staff_user()
            if not _first_product(with_archived=True):
                with step("Loading the demo catalogue"):
                    call_command("load_demo", stdout=self.stdout)
                self.stdout.flush()
            banner = _banner(port)
            _close_pool()
            supervisor.serve(port, banner=banner, stdout=self.stdout, stderr=self.stderr)
        self.stdout.write("The server has stopped.")

    def _ensure_staff_user(self) -> None:
        """Create the staff user where there is none, and print the password at once if it had to be made up."""
        given = os.environ.get("DJANGO_SUPERUSER_PASSWORD")
        if not given and users.has_superuser():
            return
        password = given or secrets.token_urlsafe(12)
        try:
            created = transactions.run(lambda: users.ensure_superuser(email=_email(), password=password))
        except users.InvalidEmail as refusal:
            raise CommandError(f"DJANGO_SUPERUSER_EMAIL is {_email()!r}. {refusal}") from refusal
        if created and not given:
            self.stdout.write(f"Staff user: {_email()} with the password {password} (shown this once)")
            self.stdout.flush()
        if not created and not users.has_superuser():
            self.stderr.write(f"{_email()} is somebody's account already; name a staff user by DJANGO_SUPERUSER_EMAIL.")


def _migrate() -> None:
    output = io.StringIO()

    def progress() -> str:
        applied = re.findall(r"Applying (\S+)\.\.\.", output.getvalue())
        return f"{len(applied)} migrations, now {applied[-1]}" if applied else ""

    with step("Migrating the database", detail=progress):
        call_command("migrate", stdout=output)


def _first_product(*, with_archived: bool) -> products.Product | None:
    found = products.list_products(page=PageRequest(size=1), with_archived=with_archived).results
    return found[0] if found else None


def _banner(port: int) -> str:
    base = f"http://{supervisor.HOST}:{port}"
    first = _first_product(with_archived=False)
    product_id = first.id if first else 1
    body = json.dumps({"items": [{"product_id": product_id, "quantity": 1000}]})
    lines = [
        "",
        f"The shop is on   {base}/api/v1",
        f"Docs             {base}/api/docs",
        f"Admin            {base}/admin/",
        "",
        f"  curl '{base}/api/v1/products?page_size=3'",
        f"  curl '{base}/api/v1/inventory/check?product_id={product_id}&quantity=2'",
        f"  curl -H 'Content-Type: application/json' -d '{body}' {base}/api/v1/inventory/check",
        "",
        "Ctrl-C stops everything.",
    ]
    return "\n".join(lines)


def _close_pool() -> None:
    """Give all connections back and end the pool's threads: what is started next is started from one thread."""
    for connection in connections.all(initialized_only=True):
        connection.close()
        if isinstance(connection, DatabaseWrapper):
            connection.close_pool()


def _email() -> str:
    return os.environ.get("DJANGO_SUPERUSER_EMAIL") or DEFAULT_EMAIL
