"""Changes to one's own account. A new password or email needs the current password; the owner is informed by mail."""

from dataclasses import dataclass, field
from datetime import timedelta
from uuid import uuid4

from django.contrib.auth.hashers import make_password
from django.db import transaction
from django.utils.crypto import constant_time_compare

from shop.toolkit.rates import Rate
from shop.toolkit.refusals import Refusal
from users import hashing, models, sql
from users.accounts import User, UserNotFound, canonical_email, judge_password, public, save
from users.attempts import attempts_key, count_attempt
from users.credentials import InvalidCredentials, identify
from users.mails import read_change_token

# Each change sends a mail to an address that may not belong to the user.
EMAIL_CHANGES = Rate(5, timedelta(hours=1))


class InvalidEmailToken(Refusal):
    """The token is malformed, used or expired, or the user has requested another email since."""

    def __init__(self) -> None:
        super().__init__("This token is invalid or has expired. Change the email address again to get a new one.")


@dataclass(frozen=True)
class Approval:
    """A change approved by the current password; valid as long as the user's token stamp is `stamp`."""

    stamp: str = field(repr=False)
    email: str | None = None
    password_hash: str | None = field(default=None, repr=False)


def approve_change(
    user_id: int,
    *,
    current_password: str,
    otp_code: str = "",
    address: str,
    email: str | None = None,
    password: str | None = None,
) -> Approval:
    """Check the current password, counted like a login from this network address, and hash the new one.

    For `update_profile`. Do not call it in a transaction: a failure must stay counted, and hashing takes long.
    Raises InvalidCredentials, OtpRequired, TooManyAttempts, InvalidEmail, WeakPassword, HashingBusy.
    """
    user = models.User.objects.filter(pk=user_id).first()
    if user is None:
        raise UserNotFound(user_id)
    new_email = None if email is None else canonical_email(email)
    if password is not None:
        judge_password(password, user)
    with hashing.turn():  # one turn for both hashes: the second must not be refused after a code was used up
        proved = identify(email=user.email, password=current_password, otp_code=otp_code, address=address)
        new_hash = None if password is None else make_password(password)
    if proved.pk != user_id:  # the email belongs to another account by now
        raise InvalidCredentials
    if new_email is not None:
        key = attempts_key("email-change", str(user_id))
        count_attempt(key, EMAIL_CHANGES, what="email changes")
    return Approval(proved.token_stamp, new_email, new_hash)


@transaction.atomic(savepoint=False)
def update_profile(user_id: int, *, name: str | None = None, approval: Approval | None = None) -> User:
    """Change the fields that are not None.

    A new password ends every token of the user. A new email is only stored, and a mail is sent there; `confirm_email`
    changes it. Does not reveal whether another account has that email. Raises UserNotFound, InvalidCredentials.
    """
    user = models.User.objects.select_for_update(no_key=True).filter(pk=user_id).first()
    if user is None:
        raise UserNotFound(user_id)
    if name is not None:
        user.name = name
    if approval is not None:
        _apply(user, approval)
    save(user, update_fields=["name", "password"])
    return public(user)


def _apply(user: models.User, approval: Approval) -> None:
    if not constant_time_compare(user.token_stamp, approval.stamp):
        raise InvalidCredentials  # the password has changed since, or it is another user
    if approval.password_hash is not None:
        user.password = approval.password_hash
        sql.want_mail(models.MailKind.CREDENTIALS_CHANGED, user.pk, to=user.email)
    if approval.email is not None:
        _request_email(user, approval.email)


def _request_email(user: models.User, email: str) -> None:
    """Store the email that a user wants, and send the mails. Their current email cancels an earlier request."""
    if email == user.email:
        models.EmailChange.objects.filter(pk=user.pk).delete()
        return
    wish = {"email": email, "token_stamp": user.token_stamp, "nonce": uuid4()}
    models.EmailChange.objects.update_or_create(user=user, defaults=wish)
    sql.want_mail(models.MailKind.EMAIL_CHANGE, user.pk, to=email)
    sql.want_mail(models.MailKind.EMAIL_CHANGE_ASKED, user.pk, to=user.email)


@transaction.atomic(savepoint=False)
def confirm_email(*, token: str) -> None:
    """Change a user's email to the one that the mail with this token was sent to.

    Raises InvalidEmailToken, EmailExists.
    """
    found = read_change_token(token)
    if found is None:
        raise InvalidEmailToken
    user_id, nonce = found
    user = models.User.objects.select_for_update(no_key=True).filter(pk=user_id, is_active=True).first()
    change = models.EmailChange.objects.filter(pk=user_id, nonce=nonce).first()
    # A new password cancels an email change that was requested with the old one.
    if user is None or change is None or not constant_time_compare(user.token_stamp, change.token_stamp):
        raise InvalidEmailToken
    user.email = change.email
    save(user, update_fields=["email"])
    change.delete()
