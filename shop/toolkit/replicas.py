"""Reads that nothing is decided by: from a replica where there is one."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from django.db import DEFAULT_DB_ALIAS, InterfaceError, OperationalError, ProgrammingError, connection, connections

from shop.toolkit import transactions

REPLICA = "replica"
PAUSE_SECONDS = 30  # in which one that did not answer is not asked: each that asks waits for it

logger = logging.getLogger(__name__)
T = TypeVar("T")


class _Rest:
    """Until when this process lets the replica be."""

    until = 0.0


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
    if REPLICA not in connections.settings or time.monotonic() < _Rest.until:
        return None
    try:
        with connection.cursor() as primary, connections[REPLICA].cursor() as replica:
            primary.execute(WRITTEN)
            replica.execute(LAG, primary.fetchone() or ["0/0"])
            row = replica.fetchone()
    except (OperationalError, InterfaceError):
        return None
    return None if row is None or row[0] is None else float(row[0])


def read(ask: Callable[[str], T]) -> T:
    """Return what `ask` finds in the database that it is given the name of: the replica's, a moment late perhaps.

    The primary's where there is no replica, where it does not answer, and within a transaction, which must see what it
    has written itself.
    """
    if REPLICA not in connections.settings or time.monotonic() < _Rest.until or connection.in_atomic_block:
        return ask(DEFAULT_DB_ALIAS)
    try:
        return ask(REPLICA)
    except ProgrammingError:
        # A migration that has not reached it yet; where it is a fault of ours, the primary says so.
        return ask(DEFAULT_DB_ALIAS)
    except (OperationalError, InterfaceError) as error:
        if transactions.sqlstate(error) == transactions.QUERY_CANCELED:
            raise  # it takes too long, there as here
        logger.warning("The replica does not answer and is let be for %d s: %s", PAUSE_SECONDS, error)
        _Rest.until = time.monotonic() + PAUSE_SECONDS
        connections[REPLICA].close()
    return ask(DEFAULT_DB_ALIAS)
