"""Connections that keep what the server has prepared for them, and their cursors."""

from typing import Any

from psycopg import Connection, Cursor, errors, pq
from psycopg._preparing import PrepareManager


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

    def forget_plans(self) -> None:
        """Have the server forget what it has prepared, as soon as it listens again."""
        self._plans.are_outdated = True
        self._plans.clear()
        self._plans.are_outdated = False


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
