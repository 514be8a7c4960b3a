"""Every raw statement of users."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from shop.toolkit.db.statements import prepared


class Attempts(NamedTuple):
    """The number of attempts counted under a key, and the seconds until the count ends."""

    failures: int
    seconds_left: float


COUNT_ATTEMPT = """
INSERT INTO users_loginattempts AS kept (key, count, ends_at)
VALUES (%(key)s, 1, clock_timestamp() + %(window)s * interval '1 second')
    ON CONFLICT (key) DO UPDATE
   SET count = CASE WHEN kept.ends_at > clock_timestamp() THEN kept.count + 1 ELSE 1 END,
       ends_at = CASE WHEN kept.ends_at > clock_timestamp() THEN kept.ends_at ELSE EXCLUDED.ends_at END
RETURNING count, EXTRACT(EPOCH FROM ends_at - clock_timestamp())::float
"""
# Locks the keys in their order, so that transactions that share keys wait instead of deadlocking.
FORGIVE_ATTEMPT = """
WITH locked AS (
    SELECT key FROM users_loginattempts WHERE key = ANY(%s) ORDER BY key FOR NO KEY UPDATE
)
UPDATE users_loginattempts kept SET count = GREATEST(0, kept.count - 1) FROM locked WHERE locked.key = kept.key
"""


def count_attempt(key: str, *, window: timedelta) -> Attempts:
    """Count one more attempt under a key; return the new count."""
    with connection.cursor() as cursor:
        cursor.execute(COUNT_ATTEMPT, {"key": key, "window": window.total_seconds()})
        (counted,) = cursor
        return Attempts(*counted)


def forgive_attempt(keys: Sequence[str]) -> None:
    """Uncount one attempt for each key."""
    with connection.cursor() as cursor:
        cursor.execute(FORGIVE_ATTEMPT, [list(keys)])


REMEMBER = """
INSERT INTO users_loginattempts (key, count, ends_at)
VALUES (%(key)s, 0, clock_timestamp() + %(period)s * interval '1 second')
    ON CONFLICT (key) DO UPDATE SET ends_at = EXCLUDED.ends_at
"""


def remember(key: str, *, period: timedelta) -> None:
    """Store a key for a period, without counting an attempt."""
    with connection.cursor() as cursor:
        cursor.execute(REMEMBER, {"key": key, "period": period.total_seconds()})


WANT_MAIL = """
INSERT INTO users_mail (user_id, kind, address, due_at, tries)
SELECT u.id, %(kind)s, COALESCE(%(to)s, u.email), clock_timestamp(), 0 FROM users_user u
 WHERE {users} AND u.is_active
    ON CONFLICT (user_id, kind, address) DO UPDATE SET due_at = EXCLUDED.due_at, tries = 0
"""
WANT_MAIL_TO_USER = WANT_MAIL.format(users="u.id = %(user_id)s")
WANT_MAIL_TO_ADDRESS = WANT_MAIL.format(users="u.email = %(email)s")


def want_mail(kind: str, user_id: int, *, to: str) -> None:
    """Queue a mail of this kind to a user, at this address. A queued one becomes due again."""
    with connection.cursor() as cursor:
        cursor.execute(WANT_MAIL_TO_USER, {"kind": kind, "user_id": user_id, "to": to})


def want_mail_to_owner(kind: str, *, email: str) -> None:
    """Queue a mail of this kind to the account with this email, if there is one."""
    with connection.cursor() as cursor:
        cursor.execute(WANT_MAIL_TO_ADDRESS, {"kind": kind, "email": email, "to": None})


# All columns in the order of the model's fields, which `from_db` requires; a test checks it.
CALLER = (
    "password", "last_login", "is_superuser", "id", "email", "name", "is_staff", "is_active", "token_version",
    "created_at",
)  # fmt: skip
FIND_CALLER = f"""
SELECT {", ".join(f"u.{column}" for column in CALLER)}
  FROM users_session s JOIN users_user u ON u.id = s.user_id
 WHERE s.id = %s AND s.ended_at IS NULL AND u.is_active
"""


def find_caller(session_id: UUID) -> tuple[Any, ...] | None:
    """Return the CALLER columns of the active user of this session; None if it has ended or does not exist."""
    with prepared() as cursor:
        cursor.execute(FIND_CALLER, [session_id])
        found: tuple[Any, ...] | None = cursor.fetchone()
    return found


# A concurrent second use waits for the row, and then sees the result of the first.
CONTINUE_SESSION = """
UPDATE users_session s
   SET previous_id = CASE WHEN s.refresh_id = %(given)s THEN s.refresh_id ELSE s.previous_id END,
       continued_at = CASE WHEN s.refresh_id = %(given)s THEN clock_timestamp() ELSE s.continued_at END,
       refresh_id = CASE WHEN s.refresh_id = %(given)s THEN %(next)s ELSE s.refresh_id END
 WHERE s.id = %(session)s AND s.ended_at IS NULL AND s.expires_at > clock_timestamp()
   AND (s.refresh_id = %(given)s
        OR s.previous_id = %(given)s AND s.continued_at > clock_timestamp() - %(repeat)s)
RETURNING s.refresh_id
"""


def continue_session(session_id: UUID, given: UUID, *, next_id: UUID, repeat: timedelta) -> UUID | None:
    """Use up a refresh token and return its successor; None if it cannot be used.

    A token used within `repeat` returns the same successor again, as long as that one is unused.
    """
    parameters: dict[str, Any] = {"session": session_id, "given": given, "next": next_id, "repeat": repeat}
    with connection.cursor() as cursor:
        cursor.execute(CONTINUE_SESSION, parameters)
        found = cursor.fetchone()
    return found[0] if found else None


CLEAR_SESSIONS = """
DELETE FROM users_session WHERE id IN (
    SELECT id FROM users_session
     WHERE expires_at < statement_timestamp() OR ended_at IS NOT NULL LIMIT %s FOR UPDATE SKIP LOCKED
)
"""


def clear_sessions(limit: int) -> int:
    """Delete up to `limit` sessions that have expired or were ended; return how many."""
    with connection.cursor() as cursor:
        cursor.execute(CLEAR_SESSIONS, [limit])
        cleared: int = cursor.rowcount
    return cleared


LOCK_USER = "SELECT 1 FROM users_user WHERE id = %s FOR NO KEY UPDATE"


def lock_user(user_id: int) -> bool:
    """Lock a user until the commit; tell whether the user exists."""
    with prepared() as cursor:
        cursor.execute(LOCK_USER, [user_id])
        return cursor.fetchone() is not None
