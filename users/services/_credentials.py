"""Who knocks: email, password and, where staff need one, the code of a second factor; guessing is slow."""

import math
from dataclasses import dataclass
from datetime import timedelta

import django_otp
from django.conf import settings
from django.contrib.auth import authenticate
from django.db import transaction
from django.db.models.functions import Now
from django.utils.crypto import salted_hmac
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice

from shop.toolkit import transactions
from shop.toolkit.refusals import Refusal
from users import models, sql
from users.emails import lookup_spelling
from users.services._accounts import UserNotFound, end_all_sessions

# Behind one address there may be a whole office.
ACCOUNTS_BEHIND_AN_ADDRESS = 10
RECOVERY_CODES = 10
FRIENDSHIP = timedelta(days=30)


class InvalidCredentials(Refusal):
    """Email and password do not belong together. Says the same whether the account exists or not."""

    def __init__(self) -> None:
        super().__init__("No active account has this email and password.")


class TooManyAttempts(Refusal):
    """Too many logins have failed; `retry_after` is in how many seconds one more is looked at."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"Too many logins have failed; try again in {retry_after} seconds.")
        self.retry_after = retry_after


def identify(*, email: str, password: str, otp_code: str, address: str) -> models.User:
    """Return the account that these credentials open, for the logins of this app.

    Failures count against the network address and against the account, whether there is such an account or not; an
    address that has opened the account lately has a count of its own, so that others' guesses do not lock its owner
    out (so whoever shares that address can find out that there is such an account). An attempt is counted before it
    is judged, and taken back when it was right: so of parallel guesses no more than the limit are judged. Known and
    unknown addresses take the same work and get the same answer. Raises InvalidCredentials, TooManyAttempts.
    """
    account = lookup_spelling(email)
    counted = _count(account, address)
    user = authenticate(email=email, password=password)
    if not isinstance(user, models.User) or not _has_second_factor(user, otp_code):
        raise InvalidCredentials
    if counted:
        transactions.run(lambda: _forgive(counted))
    return user


def attempts_key(kind: str, value: str) -> str:
    """Return what attempts stand against, as a hash: the table tells nobody which addresses were tried."""
    return salted_hmac(f"users.attempts.{kind}", value, algorithm="sha256").hexdigest()


@dataclass(frozen=True)
class _Counted:
    """What an attempt was counted against, and what is remembered of where it came from when it was right."""

    keys: list[str]
    friend: str


def _count(account: str, address: str) -> _Counted | None:
    """Count an attempt, first against the address: one that is refused already counts against no account."""
    rate = settings.THROTTLE_LOGIN
    if rate is None:
        return None
    by_address = attempts_key("address", address)
    _judge(by_address, rate.count * ACCOUNTS_BEHIND_AN_ADDRESS, rate.period)
    friend = _friend_key(account, address)
    is_friend = models.LoginAttempts.objects.filter(key=friend, ends_at__gt=Now()).exists()
    by_account = attempts_key("pair", f"{account} {address}") if is_friend else attempts_key("account", account)
    _judge(by_account, rate.count, rate.period)
    return _Counted([by_address, by_account], friend)


def _judge(key: str, limit: int, period: timedelta) -> None:
    counted = transactions.run(lambda: sql.count_attempt(key, window=period))
    if counted.failures > limit:
        raise TooManyAttempts(max(1, math.ceil(counted.seconds_left)))


def _forgive(counted: _Counted) -> None:
    sql.forgive_attempt(counted.keys)
    sql.remember(counted.friend, period=FRIENDSHIP)


def _friend_key(account: str, address: str) -> str:
    """Return what is kept of an address that has opened an account: good until its tokens end."""
    user = models.User.objects.filter(email=account).first()
    return attempts_key("friend", f"{account} {address} {user.token_stamp if user else ''}")


def _has_second_factor(user: models.User, otp_code: str) -> bool:
    if not (settings.SECOND_FACTOR and user.is_staff):
        return True
    # Locks the user's devices, refuses a code that was used, and is slow to guess at.
    device = django_otp.match_token(user, otp_code) if otp_code else None
    user.otp_device = device  # type: ignore[attr-defined]  # what django-otp looks for when the session is begun
    return device is not None


@transaction.atomic(savepoint=False)
def clear_attempts() -> int:
    """Forget the failed logins that no longer stand against anybody; return how many rows that were."""
    return models.LoginAttempts.objects.filter(ends_at__lte=Now()).delete()[0]


@transaction.atomic(savepoint=False)
def renew_second_factor(email: str) -> tuple[str, list[str]]:
    """Give an account a new second factor, take away what it had, and end its sessions.

    Returns the `otpauth://` address that an authenticator app reads, and codes that are good once each, for when the
    app is lost. Raises UserNotFound.
    """
    user = models.User.objects.filter(email=lookup_spelling(email)).first()
    if user is None:
        raise UserNotFound(email)
    end_all_sessions(user.pk)
    for devices in (TOTPDevice.objects, StaticDevice.objects):
        devices.filter(user=user).delete()
    app = TOTPDevice.objects.create(user=user, name="app")
    paper = StaticDevice.objects.create(user=user, name="paper")
    codes = [StaticToken.random_token() for _ in range(RECOVERY_CODES)]
    StaticToken.objects.bulk_create([StaticToken(device=paper, token=code) for code in codes])
    return app.config_url, codes
