"""Codes on paper: how they are made, and what is kept of them."""

import secrets

from django.utils.crypto import salted_hmac

LENGTH = 16
ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"  # five bits each, and no two look alike


def random_code() -> str:
    """Return a new code of 80 random bits."""
    return "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))


def digest_of(device_id: int, code: str) -> str:
    """Return what is kept of a code: a hash with SECRET_KEY, of one device, so that the table alone lets nobody in."""
    return salted_hmac("users.paper_code", f"{device_id}.{code.strip().lower()}", algorithm="sha256").hexdigest()
