"""Fixtures. Every test works on real, committed rows of a real PostgreSQL; afterwards the tables are emptied."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import hypothesis
import pytest
from django.conf import settings
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext, setup_databases, teardown_databases

from benchmarks import production_server
from tests import factories

KEPT = ("django_migrations", "django_content_type", "auth_permission", "auth_group", "auth_group_permissions")
GROWN_BYTES = 1 << 20


# Two profiles: the tests' own, and `make fuzz` for a long run.
hypothesis.settings.register_profile("default", deadline=None, print_blob=True)
hypothesis.settings.register_profile("fuzz", deadline=None, print_blob=True, max_examples=20_000)


@pytest.fixture(scope="session")
def _database(django_test_environment, django_db_blocker) -> Iterator[None]:
    # Not pytest-django's own fixtures: those undo each test by a rollback, or by a TRUNCATE that the ledger refuses.
    with django_db_blocker.unblock():
        created = setup_databases(verbosity=0, interactive=False)
        yield
        if not settings.POOLED_BY_TRANSACTION:  # a pooler keeps its connections; that server is thrown away
            teardown_databases(created, verbosity=0)


@pytest.fixture
def database(_database) -> Iterator[None]:
    """A migrated database with nothing in it but the warehouse MAIN."""
    yield
    connection.close()
    empty_tables()


@pytest.fixture
def new_tables(database) -> None:
    """Tables of which the planner knows nothing, as it does of a new shop's."""
    empty_tables(grown_bytes=0)


def empty_tables(grown_bytes: int = GROWN_BYTES) -> None:
    """Remove all rows but those of migrations, and start the sequences anew.

    DELETE takes a fifth of TRUNCATE's time, which gives every table and index a new file, and has every connection plan
    its statements anew. It leaves dead rows behind: a table that has grown by them is truncated.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        tables = [name for name in connection.introspection.table_names(cursor) if name not in KEPT]
        cursor.execute(f"LOCK TABLE {', '.join(tables)}")  # whatever is still at work for the last test ends first
        filled = " UNION ALL ".join(
            f"SELECT '{name}', pg_relation_size('{name}') WHERE EXISTS (SELECT FROM {name})" for name in tables
        )
        cursor.execute(filled)
        sizes = dict(cursor.fetchall())
        cursor.execute("SET LOCAL session_replication_role = replica")  # the ledger refuses both, and there is no order
        if grown_bytes == 0 or max(sizes.values(), default=0) > grown_bytes:
            cursor.execute(f"TRUNCATE {', '.join(tables)}")
        else:
            cursor.execute("; ".join(f"DELETE FROM {name}" for name in sizes) or "SELECT")
        cursor.execute(
            "SELECT setval(format('%%I', sequencename)::regclass, 1, false) FROM pg_sequences"
            " WHERE last_value IS NOT NULL AND sequencename <> ALL (%s)",
            [[f"{name}_id_seq" for name in KEPT]],
        )
        cursor.execute(
            "INSERT INTO inventory_warehouse (code, name, priority, is_active)"
            " VALUES ('MAIN', 'Main warehouse', 100, true)"
        )


@pytest.fixture(autouse=True)
def _quick_passwords(settings, request) -> None:
    """Argon2 takes its time by design; tests that are not about passwords do without."""
    if "argon2" not in request.keywords:
        settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


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
