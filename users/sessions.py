"""Sessions: a login and its successive refresh tokens, which end together."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from django.db.models import QuerySet

from shop.toolkit.db import transactions
from shop.toolkit.refusals import Refusal
from users import models, sql
from users.credentials import identify

SESSION_LIFETIME = timedelta(days=14)
REPEAT = timedelta(seconds=10)
AT_ONCE = 1000  # sessions that are cleared in one transaction


@dataclass(frozen=True)
class Session:
    """One login and the refresh token that continues it: `refresh_id` can be used once."""

    id: UUID
    user_id: int
    refresh_id: UUID
    token_stamp: str
    expires_at: datetime


class SessionEnded(Refusal):
    """The refresh token is not the newest one of an active session."""

    def __init__(self) -> None:
        super().__init__("This refresh token is no longer valid. Log in again.")


def open_session(*, email: str, password: str, otp_code: str = "", address: str, now: datetime) -> Session:
    """Log in from a network address. Raises InvalidCredentials, TooManyAttempts; see `identify` for both.

    Do not call it in a transaction: a failed attempt must stay counted although the login is refused.
    """
    user = identify(email=email, password=password, otp_code=otp_code, address=address)
    row = models.Session.objects.create(
        user=user, refresh_id=uuid4(), token_stamp=user.token_stamp, expires_at=now + SESSION_LIFETIME
    )
    return _session(row)


def continue_session(session_id: UUID, *, refresh_id: UUID, now: datetime) -> Session:
    """Use up a refresh token and return the session with the next one.

    Repeated uses within REPEAT get the same next token: two tabs of a browser may ask at once, and a client may lose
    the response. Any other used token ends the whole session, since one of its two holders must have stolen it. Raises
    SessionEnded.
    """
    row = models.Session.objects.filter(pk=session_id).select_related("user").first()
    if row is None or not row.user.is_active or row.user.token_stamp != row.token_stamp:
        raise SessionEnded
    next_id = sql.continue_session(session_id, refresh_id, next_id=uuid4(), repeat=REPEAT)
    if next_id is None:
        end_session(session_id, now=now)
        raise SessionEnded
    row.refresh_id = next_id
    return _session(row)


def end_session(session_id: UUID, *, now: datetime) -> None:
    """Log out: no refresh token of the session can be used any more. Repeating it is harmless."""
    _active(now).filter(pk=session_id).update(ended_at=now)


def clear_sessions() -> int:
    """Delete ended and expired sessions, AT_ONCE per transaction; return how many."""
    total = 0
    while cleared := transactions.run(lambda: sql.clear_sessions(AT_ONCE)):
        total += cleared
    return total


def _active(now: datetime) -> QuerySet[models.Session]:
    return models.Session.objects.filter(ended_at=None, expires_at__gt=now)


def _session(row: models.Session) -> Session:
    return Session(row.pk, row.user_id, row.refresh_id, row.token_stamp, row.expires_at)
