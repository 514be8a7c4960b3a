from collections.abc import Sequence
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from shop.toolkit.statements import prepared


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


WANT_RESET = """
INSERT INTO users_passwordreset (user_id, due_at, tries)
SELECT id, clock_timestamp(), 0 FROM users_user WHERE email = %s AND is_active
    ON CONFLICT (user_id) DO UPDATE SET due_at = EXCLUDED.due_at, tries = 0
"""


def want_reset(email: str) -> None:
    """Note that the account with this address wants a mail, if there is one."""
    with connection.cursor() as cursor:
        cursor.execute(WANT_RESET, [email])


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


LOCK_USER = "SELECT 1 FROM users_user WHERE id = %s FOR NO KEY UPDATE"


def lock_user(user_id: int) -> bool:
    """Lock a user until the commit; tell whether there is one."""
    with prepared() as cursor:
        cursor.execute(LOCK_USER, [user_id])
        return cursor.fetchone() is not None
