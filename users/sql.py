from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

from django.db import connection


class Attempts(NamedTuple):
    """How many attempts stand against a key, and for how many more seconds."""

    key: str
    failures: int
    seconds_left: float


# The keys are touched in their order, here and below, so that two who share some of them wait and do not deadlock.
COUNT_ATTEMPT = """
INSERT INTO users_loginattempts AS kept (key, count, ends_at)
SELECT key, 1, clock_timestamp() + %(window)s * interval '1 second' FROM unnest(%(keys)s::text[]) AS key ORDER BY key
    ON CONFLICT (key) DO UPDATE
   SET count = CASE WHEN kept.ends_at > clock_timestamp() THEN kept.count + 1 ELSE 1 END,
       ends_at = CASE WHEN kept.ends_at > clock_timestamp() THEN kept.ends_at ELSE EXCLUDED.ends_at END
RETURNING key, count, EXTRACT(EPOCH FROM ends_at - clock_timestamp())::float
"""
FORGIVE_ATTEMPT = """
WITH locked AS (
    SELECT key FROM users_loginattempts WHERE key = ANY(%s) ORDER BY key FOR NO KEY UPDATE
)
UPDATE users_loginattempts kept SET count = GREATEST(0, kept.count - 1) FROM locked WHERE locked.key = kept.key
"""


def count_attempt(keys: Sequence[str], *, window: timedelta) -> list[Attempts]:
    """Count one attempt more against each key; return what stands against them now."""
    with connection.cursor() as cursor:
        cursor.execute(COUNT_ATTEMPT, {"keys": list(keys), "window": window.total_seconds()})
        return [Attempts(*row) for row in cursor]


def forgive_attempt(keys: Sequence[str]) -> None:
    """Take one attempt back from each key."""
    with connection.cursor() as cursor:
        cursor.execute(FORGIVE_ATTEMPT, [list(keys)])


# One statement whether there is such an account or not, so that neither the answer nor its time tells.
WANT_RESET = """
INSERT INTO users_passwordreset AS kept (user_id, wanted_at)
SELECT id, clock_timestamp() FROM users_user WHERE email = %(email)s AND is_active
    ON CONFLICT (user_id) DO UPDATE SET wanted_at = clock_timestamp(), sent_at = NULL
 WHERE kept.sent_at < clock_timestamp() - %(pause)s * interval '1 second'
"""


def want_reset(email: str, *, pause: timedelta) -> None:
    """Note that the account with this address wants a mail, if there is one and none was sent within `pause`."""
    with connection.cursor() as cursor:
        cursor.execute(WANT_RESET, {"email": email, "pause": pause.total_seconds()})
