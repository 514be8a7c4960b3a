"""Idempotency keys: the same key and body get the first answer again, byte for byte, and the work is done once.

The key is claimed by the first statement of the work's own transaction, and the answer kept by its last. So an answer
is kept exactly when the work is, and a twin that comes meanwhile waits at the unique index until it is decided.
"""

import json
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import OperationalError, connection
from django.utils.crypto import salted_hmac

from shop.toolkit.callers import Stranger, User
from shop.toolkit.db import transactions
from shop.toolkit.db.statements import prepared
from shop.toolkit.refusals import Refusal

HEADER = "Idempotency-Key"
META = "HTTP_IDEMPOTENCY_KEY"  # as WSGI calls it
REPLAYED = "Idempotent-Replayed"
KEPT = timedelta(hours=24)
OF_STRANGERS = 0  # the id under which their keys stand
AT_ONCE = 1000  # keys that are cleared in one transaction
_VISIBLE_ASCII = re.compile(r"[\x21-\x7e]{1,255}")


class InvalidKey(Refusal):
    """The header is not 1 to 255 visible ASCII characters."""

    def __init__(self) -> None:
        super().__init__(f"{HEADER} takes 1 to 255 visible ASCII characters.")


class KeyReused(Refusal):
    """The key came before with another body, and got the answer `kept`."""

    def __init__(self, kept: "Kept") -> None:
        self.kept = kept
        super().__init__(f"This {HEADER} was used with another body. Use a new key for a new request.")


class InProgress(Refusal):
    """The first request with this key is still at work."""

    def __init__(self) -> None:
        super().__init__(f"A request with this {HEADER} is still in progress. Retry in a moment.")


@dataclass(frozen=True)
class Scope:
    """Whose key it is, for which endpoint, and a fingerprint of the body."""

    user_id: int
    endpoint: str
    key: str
    fingerprint: str


@dataclass(frozen=True)
class Kept:
    """An answer as it was sent; `at` is when its key was claimed, once it was kept."""

    status: int
    body: bytes
    content_type: str
    at: datetime | None = None


def scope_of(*, owner: User | Stranger, endpoint: str, key: str, body: Any) -> Scope:
    """Return the scope of a request. Raises InvalidKey.

    Strangers may choose the same key. So with another body theirs is another key, instead of one that came before.
    """
    if not _VISIBLE_ASCII.fullmatch(key):
        raise InvalidKey
    # Of the parsed body: twins may differ in white space, and a number's digits are kept as they came.
    text = json.dumps(body, sort_keys=True, default=str)
    # By our key: a body may have a password in it, which a bare hash would give to whoever reads the table.
    fingerprint = salted_hmac("toolkit.idempotency", text, algorithm="sha256").hexdigest()
    if isinstance(owner, Stranger):
        return Scope(
            OF_STRANGERS,
            endpoint,
            salted_hmac(f"toolkit.idempotency.{key}", text, algorithm="sha256").hexdigest(),
            fingerprint,
        )
    return Scope(owner.id, endpoint, key, fingerprint)


# One statement claims a new key, or one that is past its time. A twin in progress is waited for, up to lock_timeout.
CLAIM = """
INSERT INTO toolkit_idempotencykey (user_id, endpoint, key, fingerprint, status, body, content_type, created_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, now())
ON CONFLICT (user_id, endpoint, key) DO UPDATE
   SET fingerprint = EXCLUDED.fingerprint, created_at = EXCLUDED.created_at, status = EXCLUDED.status,
       body = EXCLUDED.body, content_type = EXCLUDED.content_type
 WHERE toolkit_idempotencykey.created_at < now() - %s
RETURNING 1
"""
FIND = """
SELECT fingerprint, status, body, content_type, created_at FROM toolkit_idempotencykey
 WHERE user_id = %s AND endpoint = %s AND key = %s
"""
KEEP = """
UPDATE toolkit_idempotencykey SET status = %s, body = %s, content_type = %s
 WHERE user_id = %s AND endpoint = %s AND key = %s
"""
CLEAR = """
DELETE FROM toolkit_idempotencykey WHERE (user_id, endpoint, key) IN (
    SELECT user_id, endpoint, key FROM toolkit_idempotencykey
     WHERE created_at < now() - %s LIMIT %s FOR UPDATE SKIP LOCKED
)
"""


def claim(scope: Scope, answer: Kept | None = None) -> Kept | None:
    """Claim the key for the work of this transaction, or return the answer it has. Raises KeyReused, InProgress.

    With an answer, which is known before any work, that is kept at once.
    """
    known = [answer.status, answer.body, answer.content_type] if answer else [None, None, ""]
    parameters: list[Any] = [scope.user_id, scope.endpoint, scope.key, scope.fingerprint, *known, KEPT]
    with prepared() as cursor:
        try:
            cursor.execute(CLAIM, parameters)
        except OperationalError as error:
            if transactions.sqlstate(error) == transactions.LOCK_NOT_AVAILABLE:
                raise InProgress from error
            raise
        if cursor.fetchone():
            return None
    kept = find(scope)
    assert kept is not None, "the key is there, since it could not be claimed"
    return kept


def find(scope: Scope) -> Kept | None:
    """Return the answer that a key has, None for one that is not claimed. Raises KeyReused."""
    with prepared() as cursor:
        cursor.execute(FIND, [scope.user_id, scope.endpoint, scope.key])
        found = cursor.fetchone()
    if found is None:
        return None
    fingerprint, status, body, content_type, created_at = found
    kept = Kept(status, bytes(body), content_type, created_at)
    if fingerprint != scope.fingerprint:
        raise KeyReused(kept)
    return kept


def keep(scope: Scope, answer: Kept) -> None:
    """Keep the answer of the work that claimed the key, in the same transaction."""
    parameters: list[Any] = [answer.status, answer.body, answer.content_type, scope.user_id, scope.endpoint, scope.key]
    with prepared() as cursor:
        cursor.execute(KEEP, parameters)


def clear() -> int:
    """Delete the keys that are past their time, in transactions of AT_ONCE; return how many."""
    total = 0
    while cleared := transactions.run(_clear):
        total += cleared
    return total


def _clear() -> int:
    parameters: list[Any] = [KEPT, AT_ONCE]
    with connection.cursor() as cursor:
        cursor.execute(CLEAR, parameters)
        cleared: int = cursor.rowcount
    return cleared
