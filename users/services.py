"""The public interface of users, and its only module that other apps may import."""

from users.accounts import (
    EmailExists,
    InvalidEmail,
    NotSuperuser,
    OwnAccess,
    UserNotFound,
    WeakPassword,
    ensure_superuser,
    get_user,
    has_superuser,
    ids_by_email,
    lock_user,
)
from users.attempts import TooManyAttempts, clear_attempts
from users.changes import InvalidEmailToken
from users.credentials import InvalidCredentials, OtpRequired
from users.hashing import HashingBusy
from users.mails import Mail, clear_mails, end_mail, take_mail
from users.models import MailKind
from users.resets import InvalidResetToken
from users.sessions import SessionEnded, clear_sessions
