"""Mails to the owners of accounts, queued as rows that a worker sends."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.contrib.auth.tokens import default_token_generator
from django.core import signing
from django.db import transaction

from users import models

MAX_TRIES, FIRST_WAIT = 6, timedelta(minutes=1)
CHANGE = "users.email_change"  # the salt of its tokens


@dataclass(frozen=True)
class Mail:
    """A mail to be sent to `address` now, with a token if its kind needs one."""

    id: int
    kind: models.MailKind
    user_id: int
    address: str
    token: str = field(repr=False)
    due_at: datetime


@transaction.atomic(savepoint=False)
def take_mail(*, now: datetime) -> Mail | None:
    """Take the mail that has been due longest; None if there is none.

    The caller sends it after the commit, and then calls `end_mail`. Until then it is due again after growing intervals,
    up to MAX_TRIES times: a mail that cannot be sent does not block others, and one whose sender was killed is sent by
    another. Any number of these may run at once.
    """
    rows = models.Mail.objects.select_for_update(skip_locked=True, of=["self"], no_key=True).select_related("user")
    due = rows.filter(due_at__lte=now, tries__lt=MAX_TRIES, user__is_active=True).order_by("due_at")
    while (row := due.first()) is not None:
        if (mail := _mail(row, due_at=now + FIRST_WAIT * 2**row.tries)) is None:
            row.delete()
            continue
        row.due_at, row.tries = mail.due_at, row.tries + 1
        row.save(update_fields=["tries", "due_at"])
        return mail
    return None


def _mail(row: models.Mail, *, due_at: datetime) -> Mail | None:
    """Return what to send, with a new token; None for an email that the user no longer wants."""
    kind, token = models.MailKind(row.kind), ""
    if kind == models.MailKind.RESET:
        token = f"{row.user.pk}.{default_token_generator.make_token(row.user)}"
    elif kind == models.MailKind.EMAIL_CHANGE:
        wish = models.EmailChange.objects.filter(user=row.user, email=row.address).first()
        if wish is None:
            return None
        if models.User.objects.filter(email=row.address).exists():
            kind = models.MailKind.EMAIL_TAKEN
        else:
            token = signing.dumps([row.user.pk, wish.nonce.hex], salt=CHANGE)
    return Mail(row.pk, kind, row.user.pk, row.address, token, due_at)


@transaction.atomic(savepoint=False)
def end_mail(mail: Mail) -> None:
    """Delete a mail that was sent, unless it was requested again meanwhile."""
    models.Mail.objects.filter(pk=mail.id, due_at=mail.due_at).delete()


def read_change_token(token: str) -> tuple[int, UUID] | None:
    """Return the user and the nonce of a token that confirms an email; None if it is invalid or expired."""
    try:
        user_id, nonce = signing.loads(token, salt=CHANGE, max_age=settings.PASSWORD_RESET_TIMEOUT)
    except signing.BadSignature:
        return None
    return int(user_id), UUID(nonce)


@transaction.atomic(savepoint=False)
def clear_mails() -> int:
    """Delete the mails that have used up their tries; return how many."""
    return models.Mail.objects.filter(tries__gte=MAX_TRIES).delete()[0]
