"""Connections that keep what the server has prepared for them, and their cursors."""

import asyncio
import socket
import struct
from collections.abc import AsyncGenerator
from typing import Any, NoReturn, TypeVar

from psycopg import AsyncConnection, Connection, ConnectionInfo, Cursor, Notify, OperationalError, errors, pq
from psycopg._preparing import PrepareManager
from psycopg.abc import PQGen
from psycopg.errors import _WaitTimeout
from psycopg.waiting import READY_NONE

PATIENCE_SECONDS = 6.0  # longer than a statement may take
ANSWER_SECONDS = 2.0
LISTEN_SECONDS = 3600.0
# "May we speak TLS?" Every server and pooler says yes or no to it, to anybody, and writes nothing into its log.
SSL_REQUEST = struct.pack("!ii", 8, 80877103)
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
        waited_for = gen
        while True:
            try:
                return super().wait(waited_for, interval, PATIENCE_SECONDS)
            except _WaitTimeout:
                if not _answers(self.info):
                    _give_up(self)
                waited_for = _resumed(gen)

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
        waited_for = gen
        while True:
            try:
                return await super().wait(waited_for, interval, PATIENCE_SECONDS)
            except _WaitTimeout:
                if not await asyncio.to_thread(_answers, self.info):
                    _give_up(self)
                waited_for = _resumed(gen)

    def notifies(self, *, timeout: float | None = None, stop_after: int | None = None) -> AsyncGenerator[Notify]:
        """Listen. Silence is what a listener expects; the queue asks for a sign of life from time to time."""
        return super().notifies(timeout=LISTEN_SECONDS if timeout is None else timeout, stop_after=stop_after)


def _resumed(gen: PQGen[T]) -> PQGen[T]:
    """Go on with what has begun to wait: a waiter's first step is to send None, which psycopg's own do not take."""
    try:
        wanted = gen.send(READY_NONE)
        while True:
            wanted = gen.send((yield wanted) or READY_NONE)
    except StopIteration as end:
        result: T = end.value
        return result


def _answers(info: ConnectionInfo) -> bool:
    """Tell whether somebody answers where this connection leads to, in ANSWER_SECONDS.

    libpq's PQping would stop all threads meanwhile, and asks nobody where the system has no name for our user.
    """
    address: str | tuple[str, int]
    if info.host.startswith("/"):
        family, address = socket.AF_UNIX, f"{info.host}/.s.PGSQL.{info.port}"
    else:
        family, address = socket.AF_INET6 if ":" in info.hostaddr else socket.AF_INET, (info.hostaddr, info.port)
    try:
        with socket.socket(family) as probe:
            probe.settimeout(ANSWER_SECONDS)
            probe.connect(address)
            probe.sendall(SSL_REQUEST)
            return bool(probe.recv(1))
    except OSError:
        return False


def _give_up(connection: Connection[Any] | AsyncConnection[Any]) -> NoReturn:
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
