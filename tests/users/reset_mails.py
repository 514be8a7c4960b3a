"""Asking for a new password, and the mail that is sent then."""

import re

from django.core import mail

from shop import tasks

RESET, CONFIRM = "/api/v1/auth/password-reset", "/api/v1/auth/password-reset/confirm"
NEW = "a quite different phrase"


def token_of(message) -> str:
    return re.search(r"token is (\S+)", message.body)[1]


def asked(api, email: str) -> str:
    """Ask for a mail, let the worker send it, and return its token."""
    api.post(RESET, {"email": email})
    tasks.send_mails()
    return token_of(mail.outbox[-1])
