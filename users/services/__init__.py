"""Who is who. Users register, log in, and stay logged in by a family of refresh tokens that ends as one."""

from users.hashing import HashingBusy
from users.models import MailKind
from users.services._accounts import (
    EmailExists,
    InvalidEmail,
    NewAccount,
    NotSuperuser,
    OwnAccess,
    User,
    UserNotFound,
    WeakPassword,
    end_all_sessions,
    ensure_superuser,
    get_user,
    has_superuser,
    ids_by_email,
    list_users,
    lock_user,
    make_superuser,
    prepare_registration,
    register,
    set_access,
)
from users.services._attempts import TooManyAttempts, clear_attempts
from users.services._changes import Approval, InvalidEmailToken, approve_change, confirm_email, update_profile
from users.services._credentials import InvalidCredentials, OtpRequired
from users.services._mails import Mail, clear_mails, end_mail, take_mail
from users.services._resets import (
    InvalidResetToken,
    NewPassword,
    prepare_reset,
    reset_password,
    want_password_reset,
)
from users.services._second_factor import renew_second_factor
from users.services._sessions import Session, SessionEnded, clear_sessions, continue_session, end_session, open_session

__all__ = [
    "Approval",
    "EmailExists",
    "HashingBusy",
    "InvalidCredentials",
    "InvalidEmail",
    "InvalidEmailToken",
    "InvalidResetToken",
    "Mail",
    "MailKind",
    "NewAccount",
    "NewPassword",
    "NotSuperuser",
    "OtpRequired",
    "OwnAccess",
    "Session",
    "SessionEnded",
    "TooManyAttempts",
    "User",
    "UserNotFound",
    "WeakPassword",
    "approve_change",
    "clear_attempts",
    "clear_mails",
    "clear_sessions",
    "confirm_email",
    "continue_session",
    "end_all_sessions",
    "end_mail",
    "end_session",
    "ensure_superuser",
    "get_user",
    "has_superuser",
    "ids_by_email",
    "list_users",
    "lock_user",
    "make_superuser",
    "open_session",
    "prepare_registration",
    "prepare_reset",
    "register",
    "renew_second_factor",
    "reset_password",
    "set_access",
    "take_mail",
    "update_profile",
    "want_password_reset",
]
