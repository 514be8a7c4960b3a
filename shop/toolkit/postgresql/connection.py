"""Connections that keep what the server has prepared for them, and their cursors."""

from typing import Any, TypeVar

from psycopg import AsyncConnection, Connection, Cursor, OperationalError, errors, pq
from psycopg._preparing import PrepareManager
from psycopg.abc import PQGen
from psycopg.conninfo import make_conninfo
from psycopg.errors import _WaitTimeout

PATIENCE_SECONDS = 6.0  # longer than a statement may take
POLL_SECONDS = 0.1  # psycopg's own, in which Ctrl-C is noticed
T = TypeVar("T")


class _Plans(PrepareManager):
    """What the server has prepared, kept over a rollback.

    psycopg forgets all of it then, because what a transaction has created goes with it. Ours create nothing, and each
    refusal is a rollback: a buyer who comes too late would have the next ones' statements planned anew.
    """

    are_outdated = False

    def clear(self) -> bool:
        return super().clear() if self.are_outdated else False


class KeepingConnection(Connection[Any]):
    """A connection whose prepared statements outlive a rollback."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._prepared = self._plans = _Plans()

    def wait(self, gen: PQGen[T], interval: float = POLL_SECONDS, timeout: float | None = None) -> T:
        """Wait for the server, but not for ever: one that is frozen says nothing, and ends no connection either."""
        if timeout is not None:
            return super().wait(gen, interval, timeout)
        while True:
            try:
                return super().wait(gen, interval, PATIENCE_SECONDS)
            except _WaitTimeout:
                _must_answer(self)

    def forget_plans(self) -> None:
        """Have the server forget what it has prepared, as soon as it listens again."""
        self._plans.are_outdated = True
        self._plans.clear()
        self._plans.are_outdated = False


class QueueConnection(AsyncConnection[Any]):
    """A connection of the queue's own, as little ready to wait for ever as Django's."""

    async def wait(self, gen: PQGen[T], interval: float = POLL_SECONDS, timeout: float | None = None) -> T:
        if timeout is not None:
            return await super().wait(gen, interval, timeout)
        while True:
            try:
                return await super().wait(gen, interval, PATIENCE_SECONDS)
            except _WaitTimeout:
                _must_answer(self)


def _must_answer(connection: Connection[Any] | AsyncConnection[Any]) -> None:
    """Find out whether a server that was silent for PATIENCE_SECONDS is busy or gone. Raises OperationalError."""
    info = connection.info
    where = make_conninfo(host=info.host, port=info.port, connect_timeout=2)
    if pq.PGconn.ping(where.encode()) == pq.Ping.NO_RESPONSE:
        connection.pgconn.finish()
        raise OperationalError("the server does not answer any more")


class PreparedCursor(Cursor[Any]):
    """A cursor whose statements are prepared; one whose tables a migration has changed since is prepared anew."""

    def execute(self, *args: Any, **options: Any) -> "PreparedCursor":
        try:
            return super().execute(*args, **options)
        except errors.FeatureNotSupported:  # "cached plan must not change result type"
            if not isinstance(self.connection, KeepingConnection):
                raise
            self.connection.forget_plans()
            if self.connection.info.transaction_status != pq.TransactionStatus.IDLE:
                raise  # the transaction is lost; whoever runs it repeats it
            return super().execute(*args, **options)
