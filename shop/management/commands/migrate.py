import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.contrib.postgres.operations import AddIndexConcurrently
from django.core.management.base import CommandError
from django.core.management.commands import migrate
from django.db import OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.loader import MigrationLoader

from shop.toolkit.db import transactions

ATTEMPTS = 60
PAUSE_SECONDS = 2.0
LOCK = 7_355_608  # any number that nobody else takes for a lock
ALONE_SECONDS = 600

# A migration waits for a lock no longer than buyers can: whoever comes after it for the table waits behind it. What it
# then does may take as long as it takes.
SETTINGS = "SET lock_timeout = '2s'; SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0"
AS_BEFORE = "RESET lock_timeout; RESET statement_timeout; RESET idle_in_transaction_session_timeout"
# What a CREATE INDEX CONCURRENTLY leaves that gave up half-way.
INVALID_INDEXES = """
SELECT format('DROP INDEX CONCURRENTLY %I.%I', n.nspname, c.relname)
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE NOT i.indisvalid AND n.nspname = current_schema()
   AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.index_relid = i.indexrelid)
"""


class Command(migrate.Command):
    """Django's own, for a shop that is open meanwhile.

    It waits two seconds for a lock, lets those go first who wait behind it, and tries again, for some minutes. Only one
    runs at a time; others wait, and then find nothing to do. It goes to the database itself, not through a pooler.
    """

    help = __doc__

    def handle(self, *args: Any, **options: Any) -> None:
        connection = connections[options["database"]]
        if settings.POOLED_BY_TRANSACTION and options["verbosity"]:
            self.stderr.write("Through a pooler, migrate neither waits nor retries. Connect to the database itself.")
        if settings.POOLED_BY_TRANSACTION or options["plan"] or options["check_unapplied"]:
            super().handle(*args, **options)
            return
        with alone(connection):
            _refuse_unknown_time_zone(connection)
            for attempt in range(1, ATTEMPTS + 1):
                try:
                    _drop_invalid_indexes(connection)
                    if not options["fake"]:  # which records an index that is there, and makes none
                        _drop_unrecorded_indexes(connection)
                    super().handle(*args, **options)
                except OperationalError as error:
                    if transactions.sqlstate(error) not in transactions.CONTENDED or attempt == ATTEMPTS:
                        raise
                    self.stderr.write(f"A table is in use (attempt {attempt} of {ATTEMPTS}); once more in a moment.")
                    time.sleep(PAUSE_SECONDS)
                else:
                    return


@contextmanager
def alone(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Have the body run while no other migration does. Raises CommandError when another one does not end."""
    deadline = time.monotonic() + ALONE_SECONDS
    with connection.cursor() as cursor:
        cursor.execute(SETTINGS)
        while True:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", [LOCK])
            if cursor.fetchone() == (True,):
                break
            if time.monotonic() > deadline:
                raise CommandError(f"Another `migrate` has been running for {ALONE_SECONDS} s; see what holds it up.")
            time.sleep(PAUSE_SECONDS)
    try:
        yield
    finally:
        # A connection that was lost has lost its lock too.
        if connection.is_usable():
            with connection.cursor() as cursor:
                cursor.execute(f"SELECT pg_advisory_unlock({LOCK}); {AS_BEFORE}")


def _refuse_unknown_time_zone(connection: BaseDatabaseWrapper) -> None:
    """Python knows the name, or the settings would have refused it; the database has names of its own."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM pg_timezone_names WHERE name = %s)", [settings.TIME_ZONE])
        if cursor.fetchone() == (False,):
            raise CommandError(f"The database has no TIME_ZONE {settings.TIME_ZONE!r}; take a name that both know.")


def _drop_unrecorded_indexes(connection: BaseDatabaseWrapper) -> None:
    """Drop the indexes of migrations that were interrupted between their index and their record, to be made again.

    Those that are written as SQL say IF NOT EXISTS.
    """
    loader = MigrationLoader(connection)
    waiting = [migration for key, migration in loader.disk_migrations.items() if key not in loader.applied_migrations]
    made = [step for migration in waiting for step in migration.operations if isinstance(step, AddIndexConcurrently)]
    with connection.cursor() as cursor:
        for step in made:
            cursor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {connection.ops.quote_name(step.index.name)}")


def _drop_invalid_indexes(connection: BaseDatabaseWrapper) -> None:
    with connection.cursor() as cursor:
        cursor.execute(INVALID_INDEXES)
        for (statement,) in cursor.fetchall():
            cursor.execute(statement)
