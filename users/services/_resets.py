"""Forgotten passwords: a mail with a token that sets a new one, once."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.contrib.auth.tokens import default_token_generator
from django.db import transaction

from shop.toolkit.refusals import Refusal
from users import models, sql
from users.emails import lookup_spelling
from users.services._accounts import set_password
from users.services._credentials import attempts_key

PAUSE = timedelta(minutes=5)  # between two mails to one account
MAX_TRIES, FIRST_WAIT = 6, timedelta(minutes=1)


class InvalidResetToken(Refusal):
    """The token is malformed, used, or too old."""

    def __init__(self) -> None:
        super().__init__("This token is not good, or no longer; ask for another mail.")


@transaction.atomic(savepoint=False)
def want_password_reset(*, email: str) -> None:
    """Have a mail sent to the account with this address, if there is one; one mail in PAUSE for each address.

    Whether there is such an account nobody is told: both ways take the same statements, and both write.
    """
    address = lookup_spelling(email)
    asked = sql.count_attempt(attempts_key("reset", address), window=PAUSE)
    if asked.failures == 1:
        sql.want_reset(address)


@dataclass(frozen=True)
class ResetMail:
    """A mail that is to be sent to `email` now, with its token."""

    user_id: int
    email: str
    token: str


@transaction.atomic(savepoint=False)
def take_password_reset(*, now: datetime) -> ResetMail | None:
    """Take the mail that is due for longest; None when there is none.

    It is the caller's to send, after the commit, and `end_password_reset` when it is sent. Until then it is due again
    later and later, up to MAX_TRIES times: so one that cannot be sent holds up no other, and one whose sender was
    killed is sent by the next. Any number of these may run at once.
    """
    rows = models.PasswordReset.objects.select_for_update(skip_locked=True, of=["self"], no_key=True)
    due = rows.filter(due_at__lte=now, tries__lt=MAX_TRIES, user__is_active=True)
    row = due.select_related("user").order_by("due_at").first()
    if row is None:
        return None
    row.due_at = now + FIRST_WAIT * 2**row.tries
    row.tries += 1
    row.save(update_fields=["tries", "due_at"])
    token = f"{row.user.pk}.{default_token_generator.make_token(row.user)}"
    return ResetMail(row.user.pk, row.user.email, token)


@transaction.atomic(savepoint=False)
def end_password_reset(user_id: int) -> None:
    """Forget a mail that was sent."""
    models.PasswordReset.objects.filter(pk=user_id).delete()


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
