import logging
import time
from argparse import ArgumentParser
from collections.abc import Callable
from functools import partial
from smtplib import SMTPRecipientsRefused, SMTPResponseException
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.mail import send_mail
from django.core.management.base import BaseCommand
from django.db import connection
from django.utils import timezone

from inventory import services as inventory
from orders import services as orders
from shop.toolkit import idempotency, transactions
from users import services as users

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 2
BATCH, MAILS_AT_ONCE = 100, 10
RESET_MAIL = """Somebody, most likely you, wants to set a new password for your account.

{how}

It is good for an hour and once. If it was not you, nothing needs to be done.
"""


class Command(BaseCommand):
    """Do what nobody waits for, again and again: finish imports, expire overdue holds, send mails, clear old
    idempotency keys, failed logins and rows of imports.

    `make run` starts one. Any number may run at once, here and on other machines: each step is done by one of them, and
    one that is killed leaves nothing that another would not go on with.
    """

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="do what there is to do, and end")

    def handle(self, *args: Any, **options: Any) -> None:
        while True:
            for chore in (finish_imports, expire_holds, send_mails, clear_keys, clear_attempts, clear_imports):
                _attempt(chore)
            if options["once"]:
                return
            time.sleep(PAUSE_SECONDS)


def finish_imports() -> None:
    """Apply the imports that were too large for the request that brought them, or that somebody was killed over."""
    for import_id in inventory.unfinished_imports():
        _attempt(partial(_finish_import, import_id))


def _finish_import(import_id: UUID) -> None:
    document = inventory.finish_import(import_id, on_step=lambda _: None)
    logger.info("The import %s of %d rows is %s", import_id, document.rows, document.status)


def clear_imports() -> None:
    """Forget the rows of imports that nobody will ask for any more."""
    transactions.run(lambda: inventory.clear_imports(now=timezone.now()))


def expire_holds() -> None:
    """Expire the holds past their deadline, and the orders that hung on them."""
    while transactions.run(lambda: orders.expire_due(limit=BATCH, now=timezone.now())):
        pass


def send_mails() -> None:
    """Send the mails by which passwords are set anew, a few at a time, so that the other chores go on.

    One that is refused for what it is holds up no other; a mail server that does not answer is asked again next time.
    """
    now = timezone.now()
    for _ in range(MAILS_AT_ONCE):
        mail = transactions.run(lambda: users.take_password_reset(now=now))
        if mail is None:
            return
        try:
            _send(mail)
        except (SMTPRecipientsRefused, SMTPResponseException) as error:
            logger.warning("A mail to user %d was refused: %s", mail.user_id, error)


def _send(mail: users.ResetMail) -> None:
    where = settings.PASSWORD_RESET_URL.replace("{token}", mail.token)
    text = RESET_MAIL.format(how=f"Open {where}" if where else f"Your token is {mail.token}")
    send_mail("Set a new password", text, None, [mail.email])
    transactions.run(partial(users.end_password_reset, mail.user_id))


def clear_attempts() -> None:
    """Forget the failed logins that no longer stand against anybody."""
    transactions.run(users.clear_attempts)


def clear_keys() -> None:
    """Delete the idempotency keys that are past their time."""
    while transactions.run(partial(idempotency.clear, limit=BATCH)):
        pass


def _attempt(chore: Callable[[], None]) -> None:
    """Whatever one chore meets (a restarted database, a lock, a bug) must not keep the others from being done."""
    try:
        chore()
    except Exception:
        logger.exception("A chore failed; once more in a moment")
        connection.close()
