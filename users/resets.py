"""Password resets: a mail with a token that can set a new password once."""

from dataclasses import dataclass, field
from datetime import timedelta

from django.contrib.auth.hashers import make_password
from django.contrib.auth.tokens import default_token_generator
from django.db import transaction
from django.db.models import QuerySet

from shop.toolkit.refusals import Refusal
from users import models, sql
from users.accounts import judge_password
from users.attempts import attempts_key
from users.emails import lookup_spelling

PAUSE = timedelta(minutes=5)  # between two mails to one account


class InvalidResetToken(Refusal):
    """The token is malformed, used or expired."""

    def __init__(self) -> None:
        super().__init__("This token is invalid or has expired. Request a new password email.")


@transaction.atomic(savepoint=False)
def want_password_reset(*, email: str) -> None:
    """Queue a mail to the account with this email, if there is one; at most one per PAUSE for each email.

    Does not reveal whether there is such an account: both cases run the same statements, and both write.
    """
    address = lookup_spelling(email)
    asked = sql.count_attempt(attempts_key("reset", address), window=PAUSE)
    if asked.failures == 1:
        sql.want_mail_to_owner(models.MailKind.RESET, email=address)


@dataclass(frozen=True)
class NewPassword:
    """A validated and hashed password, with the token that allows setting it."""

    token: str = field(repr=False)
    password_hash: str = field(repr=False)


def prepare_reset(*, token: str, password: str) -> NewPassword:
    """Check a token from a mail and hash the new password, for `reset_password`. An invalid token hashes nothing.

    Do not call it in a transaction: hashing takes long. Raises InvalidResetToken, WeakPassword, HashingBusy.
    """
    user = _user_of(token, models.User.objects.all())
    judge_password(password, user)
    return NewPassword(token, make_password(password))


@transaction.atomic(savepoint=False)
def reset_password(new: NewPassword) -> None:
    """Set a new password, which ends every token of the user. Raises InvalidResetToken."""
    user = _user_of(new.token, models.User.objects.select_for_update(no_key=True))
    user.password = new.password_hash
    user.save(update_fields=["password"])


def _user_of(token: str, users: QuerySet[models.User]) -> models.User:
    number, _, secret = token.partition(".")
    is_number = number.isascii() and number.isdigit() and len(number) < 19
    user = users.filter(pk=int(number), is_active=True).first() if is_number else None
    if user is None or not default_token_generator.check_token(user, secret):
        raise InvalidResetToken
    return user
