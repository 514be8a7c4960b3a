"""The check of email, password and, for staff who need one, second factor; with limits on guessing."""

from dataclasses import dataclass
from datetime import timedelta

import django_otp
from django.conf import settings
from django.contrib.auth import authenticate
from django.db.models.functions import Now

from shop.toolkit.db import transactions
from shop.toolkit.rates import Rate
from shop.toolkit.refusals import Refusal
from users import hashing, models, sql
from users.attempts import attempts_key, count_attempt, take_back
from users.emails import lookup_spelling

# A whole office may share one network address.
ACCOUNTS_BEHIND_AN_ADDRESS = 10
KNOWN_FOR = timedelta(days=30)  # how long a network address is known to an account after a login


class InvalidCredentials(Refusal):
    """Email and password do not match. The message is the same whether the account exists or not."""

    def __init__(self) -> None:
        super().__init__("No active account has this email and password.")


class OtpRequired(Refusal):
    """The password is right, but the code of the account's second factor is missing."""

    def __init__(self) -> None:
        super().__init__("This account also needs the code of its authenticator app. Send it as `otp_code`.")


def identify(*, email: str, password: str, otp_code: str, address: str) -> models.User:
    """Return the account that these credentials belong to.

    Failures count against the network address and against the account, even if there is no such account. A network
    address from which the account has logged in lately has a count of its own, so that guesses from elsewhere do not
    lock the owner out. (Whoever shares that network address can therefore find out that the account exists.)

    An attempt is counted before it is checked, and uncounted if it succeeds, so that parallel guesses cannot exceed the
    limit. Known and unknown emails cause the same work and get the same answer. Raises InvalidCredentials, OtpRequired
    once the password was right, TooManyAttempts, and HashingBusy, which counts nothing.
    """
    hashing.refuse_if_busy()
    counted = _count(lookup_spelling(email), address)
    try:
        user = _judged(email, password, otp_code)
    except (hashing.HashingBusy, OtpRequired):
        take_back(counted.keys)
        raise
    if counted.keys:
        transactions.run(lambda: _uncount(counted))
    return user


def _judged(email: str, password: str, otp_code: str) -> models.User:
    with hashing.turn():  # also covers the rehash of a password with old parameters
        user = authenticate(email=email, password=password)
    if not isinstance(user, models.User):
        raise InvalidCredentials
    if settings.SECOND_FACTOR and user.is_staff:
        _judge_code(user, otp_code)
    return user


def _judge_code(user: models.User, otp_code: str) -> None:
    if not otp_code:
        raise OtpRequired
    # Locks the user's devices, refuses used codes, and throttles guesses.
    device = django_otp.match_token(user, otp_code)
    if device is None:
        raise InvalidCredentials
    user.otp_device = device  # type: ignore[attr-defined]  # what django-otp looks for when the session is begun


@dataclass(frozen=True)
class _Counted:
    """The keys under which an attempt was counted, and the key that makes its address known to the account."""

    keys: list[str]
    known_key: str


def _count(account: str, address: str) -> _Counted:
    """Count an attempt, first against the address: if that is refused, no account is affected."""
    rate = settings.THROTTLE_LOGIN
    if rate is None:
        return _Counted([], "")
    by_address = attempts_key("address", address)
    what = "failed logins"
    count_attempt(by_address, Rate(rate.count * ACCOUNTS_BEHIND_AN_ADDRESS, rate.period), what=what)
    known_key = _known_key(account, address)
    is_known = models.LoginAttempts.objects.filter(key=known_key, ends_at__gt=Now()).exists()
    by_account = attempts_key("pair", f"{account} {address}") if is_known else attempts_key("account", account)
    count_attempt(by_account, rate, what=what)
    return _Counted([by_address, by_account], known_key)


def _uncount(counted: _Counted) -> None:
    sql.forgive_attempt(counted.keys)
    sql.remember(counted.known_key, period=KNOWN_FOR)


def _known_key(account: str, address: str) -> str:
    """Return the key of an address known to an account. Another one is needed once the account's tokens end."""
    # "friend" is part of the keys that are stored already.
    user = models.User.objects.filter(email=account).first()
    return attempts_key("friend", f"{account} {address} {user.token_stamp if user else ''}")
