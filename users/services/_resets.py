"""Forgotten passwords: a mail with a token that sets a new one, once."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.contrib.auth.tokens import default_token_generator
from django.db import transaction

from shop.toolkit.refusals import Refusal
from users import models, sql
from users.services._accounts import set_password

PAUSE = timedelta(minutes=5)  # between two mails to one account


class InvalidResetToken(Refusal):
    """The token is malformed, used, or too old."""

    def __init__(self) -> None:
        super().__init__("This token is not good, or no longer; ask for another mail.")


@transaction.atomic(savepoint=False)
def want_password_reset(*, email: str) -> None:
    """Have a mail sent to the account with this address, if there is one. Whether there is, nobody is told."""
    sql.want_reset(models.normalized_email(email), pause=PAUSE)


@dataclass(frozen=True)
class ResetMail:
    """A mail that is to be sent to `email` now, with its token."""

    user_id: int
    email: str
    token: str


@transaction.atomic(savepoint=False)
def take_password_reset(*, now: datetime) -> ResetMail | None:
    """Take the mail that is waited for longest off the list; None when there is none.

    It is the caller's to send, after the commit; `return_password_reset` when that fails. Any number of these may run
    at once.
    """
    rows = models.PasswordReset.objects.select_for_update(skip_locked=True, of=["self"], no_key=True)
    row = rows.filter(sent_at=None, user__is_active=True).select_related("user").order_by("wanted_at").first()
    if row is None:
        return None
    row.sent_at = now
    row.save(update_fields=["sent_at"])
    token = f"{row.user.pk}.{default_token_generator.make_token(row.user)}"
    return ResetMail(row.user.pk, row.user.email, token)


@transaction.atomic(savepoint=False)
def return_password_reset(user_id: int) -> None:
    """Put a mail that could not be sent back on the list."""
    models.PasswordReset.objects.filter(pk=user_id).update(sent_at=None)


@transaction.atomic(savepoint=False)
def reset_password(*, token: str, password: str) -> None:
    """Set a new password by a token from a mail; every token of the user ends with the old one.

    Raises InvalidResetToken, WeakPassword.
    """
    number, _, secret = token.partition(".")
    is_number = number.isascii() and number.isdigit() and len(number) < 19
    users = models.User.objects.select_for_update(no_key=True)
    user = users.filter(pk=int(number), is_active=True).first() if is_number else None
    if user is None or not default_token_generator.check_token(user, secret):
        raise InvalidResetToken
    set_password(user, password)
    user.save(update_fields=["password"])
