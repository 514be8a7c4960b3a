from collections.abc import Sequence
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from shop.toolkit.db.statements import prepared


class Attempts(NamedTuple):
    """How many attempts stand against a key, and for how many more seconds."""

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
# The keys are touched in their order, so that two who share some of them wait and do not deadlock.
FORGIVE_ATTEMPT = """
WITH locked AS (
    SELECT key FROM users_loginattempts WHERE key = ANY(%s) ORDER BY key FOR NO KEY UPDATE
)
UPDATE users_loginattempts kept SET count = GREATEST(0, kept.count - 1) FROM locked WHERE locked.key = kept.key
"""


def count_attempt(key: str, *, window: timedelta) -> Attempts:
    """Count one attempt more against a key; return what stands against it now."""
    with connection.cursor() as cursor:
        cursor.execute(COUNT_ATTEMPT, {"key": key, "window": window.total_seconds()})
        (counted,) = cursor
        return Attempts(*counted)


def forgive_attempt(keys: Sequence[str]) -> None:
    """Take one attempt back from each key."""
    with connection.cursor() as cursor:
        cursor.execute(FORGIVE_ATTEMPT, [list(keys)])


REMEMBER = """
INSERT INTO users_loginattempts (key, count, ends_at)
VALUES (%(key)s, 0, clock_timestamp() + %(period)s * interval '1 second')
    ON CONFLICT (key) DO UPDATE SET ends_at = EXCLUDED.ends_at
"""


def remember(key: str, *, period: timedelta) -> None:
    """Keep a key for a while, without an attempt against it."""
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
    """Note that a mail of this kind is to be sent to a user, at this address; one that waits already is due anew."""
    with connection.cursor() as cursor:
        cursor.execute(WANT_MAIL_TO_USER, {"kind": kind, "user_id": user_id, "to": to})


def want_mail_to_owner(kind: str, *, email: str) -> None:
    """Note the same for the account that has this address, if there is one."""
    with connection.cursor() as cursor:
        cursor.execute(WANT_MAIL_TO_ADDRESS, {"kind": kind, "email": email, "to": None})


# All columns, in the model's order, by which it is filled; a test holds that.
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
    """Return CALLER of the active user whose session this is, or None when it has ended or never was."""
    with prepared() as cursor:
        cursor.execute(FIND_CALLER, [session_id])
        found: tuple[Any, ...] | None = cursor.fetchone()
    return found


# Who comes second waits for the row, and then sees what the first has made of it.
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
    """Use a refresh token up; return the one that takes its place, None where it may not be used.

    A token that was used within `repeat` gives its successor again, as long as that was not used itself.
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
    """Delete sessions that have expired or were ended; return how many."""
    with connection.cursor() as cursor:
        cursor.execute(CLEAR_SESSIONS, [limit])
        cleared: int = cursor.rowcount
    return cleared


LOCK_USER = "SELECT 1 FROM users_user WHERE id = %s FOR NO KEY UPDATE"


def lock_user(user_id: int) -> bool:
    """Lock a user until the commit; tell whether there is one."""
    with prepared() as cursor:
        cursor.execute(LOCK_USER, [user_id])
        return cursor.fetchone() is not None
