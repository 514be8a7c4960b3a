"""Fixtures of the tests of accounts."""

import pytest


@pytest.fixture
def _on(settings) -> None:
    """Staff need the code of their authenticator app."""
    settings.SECOND_FACTOR = True
    place = settings.MIDDLEWARE.index("shop.toolkit.http.middleware.PageUsers") + 1
    settings.MIDDLEWARE = [
        *settings.MIDDLEWARE[:place],
        "django_otp.middleware.OTPMiddleware",
        *settings.MIDDLEWARE[place:],
    ]
