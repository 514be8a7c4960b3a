"""Django's PostgreSQL, but that a connection of the pool is known to be alive without a statement."""

import select
import time
from functools import lru_cache
from typing import Any

from django.db.backends.postgresql import base
from prometheus_client import Gauge, Histogram
from psycopg import Connection, OperationalError
from psycopg.errors import Diagnostic

from shop.toolkit.telemetry import metrics

GIVE_UP_SECONDS = 2  # as long as the pool makes one wait


class DatabaseWrapper(base.DatabaseWrapper):
    def commit(self) -> None:
        """Commit, and believe it only when the server has nothing to add.

        Where commits wait for a second node, one whose wait is cancelled is a success with a warning: it is on this
        node alone, and gone when that is lost. Nobody knows its fate, so nobody is told that all is well.
        """
        connection = self.connection
        if connection is None:
            super().commit()
            return
        warnings: list[str] = []

        def note(notice: Diagnostic) -> None:
            if notice.severity_nonlocalized == "WARNING":
                warnings.append(notice.message_primary or "")

        connection.add_notice_handler(note)
        try:
            super().commit()
        finally:
            connection.remove_notice_handler(note)
        if warnings:
            with self.wrap_database_errors:
                raise OperationalError(f"COMMIT came with a warning: {warnings[0]}")

    def get_new_connection(self, conn_params: dict[str, Any]) -> Connection[Any]:
        """Return a connection that the server has not ended. Raises OperationalError when there is none in time.

        CONN_HEALTH_CHECKS asks the server by a statement, on every request: a round trip of three that a check of the
        stock takes. What a server does when it stops, restarts or ends a connection can be seen on the socket. A server
        that is gone without a word cannot; the first statement finds that out, after `tcp_user_timeout`.
        """
        wait_seconds, in_use = _meters(self.alias)
        began = time.monotonic()
        try:
            connection = self._living_connection(conn_params, began + GIVE_UP_SECONDS)
        finally:
            wait_seconds.observe(time.monotonic() - began)
        in_use.inc()
        return connection

    def _living_connection(self, conn_params: dict[str, Any], deadline: float) -> Connection[Any]:
        while True:
            connection: Connection[Any] = super().get_new_connection(conn_params)
            if self.pool is None or not _is_ended(connection):
                return connection
            connection.close()
            self.pool.putconn(connection)
            if time.monotonic() > deadline:
                raise OperationalError("the server ends connections as soon as they are made")

    def close(self) -> None:
        had_one = self.connection is not None and not self.closed_in_transaction
        try:
            super().close()
        finally:
            if had_one and (self.connection is None or self.closed_in_transaction):
                _meters(self.alias)[1].dec()


@lru_cache
def _meters(alias: str) -> tuple[Histogram, Gauge]:
    """Return what counts for this database: how long threads wait for a connection, and how many have one."""
    return metrics.POOL_WAIT_SECONDS.labels(alias), metrics.POOL_IN_USE.labels(alias)


def _is_ended(connection: Connection[Any]) -> bool:
    """Tell whether there is something to read: of a connection that waits for nothing, that is a farewell."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))
