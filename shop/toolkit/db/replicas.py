"""Reads that nothing is decided by: from a replica where there is one."""

import logging
import time
from collections import deque
from collections.abc import Callable
from threading import Lock
from typing import TypeVar

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, InterfaceError, OperationalError, ProgrammingError, connection, connections

from shop.toolkit.db import transactions

REPLICA = "replica"
PAUSE_SECONDS = 30  # in which one that did not answer is not asked: each that asks waits for it
LOOK_SECONDS = 2  # from one look at how far it is behind to the next
POSITIONS = 1000  # that are remembered of one that falls behind

logger = logging.getLogger(__name__)
T = TypeVar("T")


class _Known:
    """What this process knows of the replica."""

    silent_until = 0.0
    looks_again = 0.0
    is_fit = False  # before anybody has looked
    # When the primary was seen where in its log, as far as the replica is not there yet. The time of the last commit
    # that it has replayed would not do: while one long transaction writes, that is always long ago.
    unreached: deque[tuple[float, int]] = deque()
    lock = Lock()


WRITTEN = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint WHERE NOT pg_is_in_recovery()"
REPLAYED = "SELECT pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0')::bigint WHERE pg_is_in_recovery()"


def lag_seconds() -> float | None:
    """Return how long ago the primary was where the replica is; None where there is none, or where it is silent."""
    if REPLICA not in connections.settings or time.monotonic() < _Known.silent_until:
        return None
    try:
        return _lag(_written())
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
        if _is_fit():
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


def _is_fit() -> bool:
    now = time.monotonic()
    if now >= _Known.looks_again:
        _Known.looks_again = now + PAUSE_SECONDS  # who comes while somebody looks goes by what is known
        written = _written()
        lag = _lag(written) or 0
        was_fit, _Known.is_fit = _Known.is_fit, lag <= settings.DATABASE_REPLICA_MAX_LAG_SECONDS
        if was_fit and not _Known.is_fit:
            logger.warning("The replica is %d s behind; the primary is read until it has caught up", lag)
        # A primary that is silent is not asked at once again either, or checks would wait for it all the time.
        _Known.looks_again = time.monotonic() + (PAUSE_SECONDS if written is None else LOOK_SECONDS)
    return _Known.is_fit


def _lag(written: int | None) -> float | None:
    with connections[REPLICA].cursor() as cursor:
        cursor.execute(REPLAYED)
        row = cursor.fetchone()
    if row is None:
        return None  # no replica after all
    (replayed,), now, unreached = row, time.monotonic(), _Known.unreached
    with _Known.lock:
        if written is not None and len(unreached) < POSITIONS:
            unreached.append((now, written))
        while unreached and unreached[0][1] <= replayed:
            unreached.popleft()
        return now - unreached[0][0] if unreached else 0.0


def _written() -> int | None:
    """Return where the primary's log ends; None where nobody tells: old is better than nothing then."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(WRITTEN)
            row = cursor.fetchone()
    except (OperationalError, InterfaceError):
        return None
    return None if row is None else int(row[0])
