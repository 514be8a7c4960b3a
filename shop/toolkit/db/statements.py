"""Statements that run with every sale or check."""

from collections.abc import Iterable
from decimal import Decimal

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.utils import CursorWrapper

from shop.toolkit.db.postgresql.connection import PreparedCursor


def array(numbers: Iterable[int | Decimal]) -> str:
    """Return numbers as PostgreSQL writes an array of them; psycopg would put one together item by item."""
    return "{" + ",".join(map(str, numbers)) + "}"


def prepared(using: str = DEFAULT_DB_ALIAS) -> CursorWrapper:
    """Return a cursor whose statements the server plans once for each connection, after PREPARE_AFTER uses.

    Django's own cursors send each statement as text with its values in it, to be parsed and planned anew: nine tenths
    of what the database does for a check (docs/performance.md). For short statements with one good plan; what reads
    many rows by this or that plan stays with `connection.cursor()`.
    """
    connection = connections[using]
    if connection.connection is None:
        connection.ensure_connection()
    assert connection.connection is not None
    cursor = PreparedCursor(connection.connection)
    # As Django makes its own: with statements counted and logged where somebody asks for it.
    wrap = connection.make_debug_cursor if connection.queries_logged else connection.make_cursor
    return wrap(cursor)  # type: ignore[arg-type]  # declared for what it returns, not for what it takes
