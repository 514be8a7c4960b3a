"""The one way to run a command: a durable transaction that is repeated when it may be and believed when committed."""

import logging
import random
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import TypeVar

from django.db import Error, transaction

ATTEMPTS = 3
BACKOFF_SECONDS = 0.02  # doubled each time, with full jitter: twins that collided must not collide again

SERIALIZATION_FAILURE, DEADLOCK_DETECTED = "40001", "40P01"
UNIQUE_VIOLATION, LOCK_NOT_AVAILABLE = "23505", "55P03"
# What was prepared is outdated, because a migration has changed a table; by now it is forgotten.
OUTDATED_PLAN = "0A000"
REPEATABLE = {SERIALIZATION_FAILURE, DEADLOCK_DETECTED, OUTDATED_PLAN}
CONTENDED = {LOCK_NOT_AVAILABLE, *REPEATABLE}  # somebody else was at the same rows; it may be tried again
QUERY_CANCELED = "57014"
BUSY = {QUERY_CANCELED, *CONTENDED}

logger = logging.getLogger(__name__)
T = TypeVar("T")
_is_running: ContextVar[bool] = ContextVar("is_running", default=False)


class Repeat(Exception):
    """Raised by `work` to have everything undone, `first` done in a transaction of its own, and `work` done once more.

    For a problem that is found under locks which prevent fixing it. When it has been tried, `refusal` is raised. Only
    `run` does so: a function that may raise it calls `assert_repeatable` first.
    """

    def __init__(self, *, first: Callable[[], object], refusal: Exception) -> None:
        super().__init__(str(refusal))
        self.first = first
        self.refusal = refusal


class NotCommitted(Exception):
    """The transaction ended without an error and without a commit: nothing may be acknowledged."""


def assert_repeatable(name: str) -> None:
    """Raise AssertionError unless `run` runs the current transaction: `name`, the caller, may raise Repeat."""
    if not _is_running.get():
        raise AssertionError(
            f"{name} may have to repeat its whole transaction. Call it inside shop.toolkit.db.transactions.run()."
        )


def run(work: Callable[[], T]) -> T:
    """Run `work` in one transaction of its own and return its result once that is committed.

    A deadlock or serialization failure repeats all of it, at most ATTEMPTS times, and so does Repeat, once; `work` must
    therefore have no effect outside the database. Raises NotCommitted when the block ended without a commit, and
    whatever `work` raises after everything was rolled back.
    """
    try:
        return _run_repeatedly(work)
    except Repeat as wish:
        _run_repeatedly(wish.first)
    try:
        return _run_repeatedly(work)
    except Repeat as wish:
        raise wish.refusal from None


def _run_repeatedly(work: Callable[[], T]) -> T:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _run_once(work)
        except Error as error:
            if sqlstate(error) not in REPEATABLE or attempt == ATTEMPTS:
                raise
            logger.info("Attempt %d ended with SQLSTATE %s; once more", attempt, sqlstate(error))
        time.sleep(random.uniform(0, BACKOFF_SECONDS * 2**attempt))
    raise AssertionError("unreachable: the last attempt returns or raises")


def _run_once(work: Callable[[], T]) -> T:
    committed: list[T] = []
    result: list[T] = []
    running = _is_running.set(True)
    try:
        with transaction.atomic(durable=True):
            # An `atomic` block can end normally with nothing committed (a swallowed error, a closed connection), so
            # only the hook that runs after COMMIT is believed. Registered first, it runs before any other hook.
            transaction.on_commit(lambda: committed.extend(result))
            result.append(work())
    except Exception:
        if not committed:
            raise
        # A later hook failed. The work is on disk, so the caller is told so.
        logger.exception("A hook failed after the commit")
    finally:
        _is_running.reset(running)
    if not committed:
        raise NotCommitted
    return committed[0]


def sqlstate(error: BaseException) -> str | None:
    """Return the SQLSTATE behind a Django database error, or None when the server sent none."""
    return getattr(error.__cause__, "sqlstate", None)


def violated_constraint(error: BaseException) -> str | None:
    """Return the name of the constraint that an IntegrityError is about."""
    return getattr(getattr(error.__cause__, "diag", None), "constraint_name", None)
