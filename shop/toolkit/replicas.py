"""Reads that nothing is decided by: from a replica where there is one."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, InterfaceError, OperationalError, ProgrammingError, connection, connections

from shop.toolkit import transactions

REPLICA = "replica"
PAUSE_SECONDS = 30  # in which one that did not answer is not asked: each that asks waits for it
LOOK_SECONDS = 2  # from one look at how far it is behind to the next

logger = logging.getLogger(__name__)
T = TypeVar("T")


class _Known:
    """What this process knows of the replica."""

    silent_until = 0.0
    looks_again = 0.0
    is_old = False


# A primary that writes nothing leaves nothing to replay; one that has replayed all that there is is not behind. What it
# has received does not count: it may be cut off.
WRITTEN = "SELECT pg_current_wal_lsn()::text WHERE NOT pg_is_in_recovery()"
LAG = """
SELECT CASE WHEN pg_last_wal_replay_lsn() >= %s::pg_lsn THEN 0
            ELSE extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) END
 WHERE pg_is_in_recovery()
"""


def lag_seconds() -> float | None:
    """Return how far the replica is behind; None where there is none, or where it does not answer."""
    if REPLICA not in connections.settings or time.monotonic() < _Known.silent_until:
        return None
    try:
        return _lag()
    except (OperationalError, InterfaceError):
        return None


def read(ask: Callable[[str], T]) -> T:
    """Return what `ask` finds in the database that it is given the name of: the replica's, a moment late perhaps.

    The primary's where there is no replica, where it does not answer or is more than DATABASE_REPLICA_MAX_LAG_SECONDS
    behind, and within a transaction, which must see what it has written itself.
    """
    if REPLICA not in connections.settings or time.monotonic() < _Known.silent_until or connection.in_atomic_block:
        return ask(DEFAULT_DB_ALIAS)
    try:
        if not _is_old():
            return ask(REPLICA)
    except ProgrammingError:
        pass  # a migration that has not reached it yet; where it is a fault of ours, the primary says so
    except (OperationalError, InterfaceError) as error:
        if transactions.sqlstate(error) == transactions.QUERY_CANCELED:
            raise  # it takes too long, there as here
        logger.warning("The replica does not answer and is let be for %d s: %s", PAUSE_SECONDS, error)
        _Known.silent_until = time.monotonic() + PAUSE_SECONDS
        connections[REPLICA].close()
    return ask(DEFAULT_DB_ALIAS)


def _is_old() -> bool:
    now = time.monotonic()
    if now >= _Known.looks_again:
        _Known.looks_again = now + LOOK_SECONDS
        lag = _lag() or 0
        was_old, _Known.is_old = _Known.is_old, lag > settings.DATABASE_REPLICA_MAX_LAG_SECONDS
        if _Known.is_old and not was_old:
            logger.warning("The replica is %d s behind; the primary is read until it has caught up", lag)
    return _Known.is_old


def _lag() -> float | None:
    with connections[REPLICA].cursor() as replica:
        replica.execute(LAG, [_written()])
        row = replica.fetchone()
    return None if row is None or row[0] is None else float(row[0])


def _written() -> str:
    """Return where the primary's log ends; its beginning where nobody tells: old is better than nothing then."""
    try:
        with connection.cursor() as primary:
            primary.execute(WRITTEN)
            row = primary.fetchone()
    except (OperationalError, InterfaceError):
        return "0/0"
    return "0/0" if row is None else str(row[0])
