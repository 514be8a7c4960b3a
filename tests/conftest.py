"""Fixtures. Every test works on real, committed rows of a real PostgreSQL; afterwards the tables are emptied."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import hypothesis
import pytest
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext, setup_databases, teardown_databases

from benchmarks import production_server
from tests import factories

KEPT = ("django_migrations", "django_content_type", "auth_permission", "auth_group", "auth_group_permissions")
GROWN_BYTES = 1 << 20


# Two profiles: the tests' own, and `make fuzz` for a long run.
hypothesis.settings.register_profile("default", deadline=None, print_blob=True)
hypothesis.settings.register_profile("fuzz", deadline=None, print_blob=True, max_examples=20_000)


# One statement for each table, planned once for each connection: most tests work on one connection all the time.
EMPTY_TABLES = """
CREATE OR REPLACE FUNCTION empty_tables(grown_bytes bigint) RETURNS void LANGUAGE plpgsql
SET session_replication_role = replica  -- the ledger refuses to be emptied, and there is no order among foreign keys
AS $$
BEGIN
    LOCK TABLE {tables};  -- whatever is still at work for the last test ends first
    IF (SELECT max(pg_relation_size(name)) FROM unnest('{{{tables}}}'::regclass[]) name) >= grown_bytes THEN
        TRUNCATE {tables};
    ELSE
        {deletions}
    END IF;
    PERFORM setval(format('%I', sequencename)::regclass, 1, false) FROM pg_sequences
        WHERE last_value IS NOT NULL AND sequencename <> ALL ('{{{sequences}}}');
    INSERT INTO inventory_warehouse (code, name, priority, is_active) VALUES ('MAIN', 'Main warehouse', 100, true);
END
$$
"""


@pytest.fixture(scope="session")
def _database(django_test_environment, django_db_blocker) -> Iterator[None]:
    # Not pytest-django's own fixtures: those undo each test by a rollback, or by a TRUNCATE that the ledger refuses.
    with django_db_blocker.unblock():
        created = setup_databases(verbosity=0, interactive=False)
        with connection.cursor() as cursor:
            tables = [name for name in connection.introspection.table_names(cursor) if name not in KEPT]
            statement = EMPTY_TABLES.format(
                tables=", ".join(tables),
                deletions=" ".join(f"DELETE FROM {name};" for name in tables),
                sequences=", ".join(f"{name}_id_seq" for name in KEPT),
            )
            cursor.execute(statement)
        yield
        if not settings.POOLED_BY_TRANSACTION:  # a pooler keeps its connections; that server is thrown away
            teardown_databases(created, verbosity=0)


@pytest.fixture
def database(_database) -> Iterator[None]:
    """A migrated database with nothing in it but the warehouse MAIN.

    The connection stays open from test to test: a new one reads the catalogue anew, which costs more than most tests.
    """
    yield
    connection.close_if_unusable_or_obsolete()
    empty_tables()


@pytest.fixture
def new_tables(database) -> None:
    """Tables of which the planner knows nothing, as it does of a new shop's, and a connection that has no plans yet."""
    empty_tables(grown_bytes=0)
    connection.close()


def empty_tables(grown_bytes: int = GROWN_BYTES) -> None:
    """Remove all rows but those of migrations, and start the sequences anew.

    DELETE takes a fifth of TRUNCATE's time, which gives every table and index a new file, and has every connection plan
    its statements anew. It leaves dead rows behind: when a table has grown by them, all are truncated.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT empty_tables(%s)", [grown_bytes])


@pytest.fixture(autouse=True)
def _quick_passwords(settings, request) -> None:
    """Argon2 takes its time by design; tests that are not about passwords do without."""
    if "argon2" not in request.keywords:
        settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(autouse=True)
def _static_files_when_asked_for(settings) -> None:
    """Every client of a test makes its own middleware, and WhiteNoise's would read all static files each time."""
    settings.WHITENOISE_AUTOREFRESH = True


@pytest.fixture
def api(database) -> factories.JsonClient:
    """A client without a token; `factories.client` makes one with."""
    return factories.client(None)


@pytest.fixture
def staff(database) -> factories.JsonClient:
    """A client with a superuser's token."""
    return factories.client(factories.user(is_staff=True, is_superuser=True))


@pytest.fixture
def customer(database) -> factories.JsonClient:
    """A client with a customer's token."""
    return factories.client(factories.user())


@contextmanager
def counted_statements() -> Iterator[CaptureQueriesContext]:
    """Record the SQL statements of this thread, BEGIN and COMMIT included."""
    with CaptureQueriesContext(connection) as statements:
        yield statements


@pytest.fixture(scope="session")
def _server(_database) -> Iterator[str]:
    # More threads than by default: what goes wrong between requests should have its chance.
    with production_server(threads=4, DATABASE_URL=environment()["DATABASE_URL"]) as base:
        yield base


@pytest.fixture
def server(_server, database) -> str:
    """The address of the production server, a process of its own, on the test database."""
    return _server


def environment() -> dict[str, str]:
    """Return the environment of a process that works on the test database."""
    return {**os.environ, "DATABASE_URL": database_url(settings.DATABASES["default"]["NAME"])}


def database_url(name: str) -> str:
    head, _, tail = os.environ["DATABASE_URL"].rpartition("/")
    query = tail.partition("?")[2]
    return f"{head}/{name}{'?' + query if query else ''}"


def wait_until(condition: Callable[[], bool], *, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.05)


def fetch(statement: str, *parameters: object) -> list[tuple]:
    """Return rows straight from the database, past all of our code."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall()
