"""Recovery codes: how they are generated, and what is stored of them."""

import secrets

from django.utils.crypto import salted_hmac

LENGTH = 16
ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"  # five bits each, and no two look alike


def random_code() -> str:
    """Return a new code of 80 random bits."""
    return "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))


def digest_of(device_id: int, code: str) -> str:
    """Return what is stored of a code: a hash by SECRET_KEY for one device, so that a leaked table is useless."""
    return salted_hmac("users.paper_code", f"{device_id}.{code.strip().lower()}", algorithm="sha256").hexdigest()
