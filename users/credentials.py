"""Who knocks: email, password and, where staff need one, the code of a second factor; guessing is slow."""

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

# Behind one address there may be a whole office.
ACCOUNTS_BEHIND_AN_ADDRESS = 10
FRIENDSHIP = timedelta(days=30)


class InvalidCredentials(Refusal):
    """Email and password do not belong together. Says the same whether the account exists or not."""

    def __init__(self) -> None:
        super().__init__("No active account has this email and password.")


class OtpRequired(Refusal):
    """The password is right, and the account needs the code of its second factor as well, which was not given."""

    def __init__(self) -> None:
        super().__init__("This account also needs the code of its authenticator app. Send it as `otp_code`.")


def identify(*, email: str, password: str, otp_code: str, address: str) -> models.User:
    """Return the account that these credentials open, for the logins of this app.

    Failures count against the network address and against the account, whether there is such an account or not; an
    address that has opened the account lately has a count of its own, so that others' guesses do not lock its owner
    out (so whoever shares that address can find out that there is such an account). An attempt is counted before it
    is judged, and taken back when it was right: so of parallel guesses no more than the limit are judged. Known and
    unknown addresses take the same work and get the same answer. Raises InvalidCredentials, OtpRequired once the
    password was right, TooManyAttempts, and HashingBusy, which counts nothing.
    """
    hashing.expect_turn()
    counted = _count(lookup_spelling(email), address)
    try:
        user = _judged(email, password, otp_code)
    except (hashing.HashingBusy, OtpRequired):
        take_back(counted.keys)
        raise
    if counted.keys:
        transactions.run(lambda: _forgive(counted))
    return user


def _judged(email: str, password: str, otp_code: str) -> models.User:
    with hashing.turn():  # also for a hash of other parameters, which is renewed
        user = authenticate(email=email, password=password)
    if not isinstance(user, models.User):
        raise InvalidCredentials
    if settings.SECOND_FACTOR and user.is_staff:
        _judge_code(user, otp_code)
    return user


def _judge_code(user: models.User, otp_code: str) -> None:
    if not otp_code:
        raise OtpRequired
    # Locks the user's devices, refuses a code that was used, and is slow to guess at.
    device = django_otp.match_token(user, otp_code)
    if device is None:
        raise InvalidCredentials
    user.otp_device = device  # type: ignore[attr-defined]  # what django-otp looks for when the session is begun


@dataclass(frozen=True)
class _Counted:
    """What an attempt was counted against, and what is remembered of where it came from when it was right."""

    keys: list[str]
    friend: str


def _count(account: str, address: str) -> _Counted:
    """Count an attempt, first against the address: one that is refused already counts against no account."""
    rate = settings.THROTTLE_LOGIN
    if rate is None:
        return _Counted([], "")
    by_address = attempts_key("address", address)
    what = "logins have failed"
    count_attempt(by_address, Rate(rate.count * ACCOUNTS_BEHIND_AN_ADDRESS, rate.period), what=what)
    friend = _friend_key(account, address)
    is_friend = models.LoginAttempts.objects.filter(key=friend, ends_at__gt=Now()).exists()
    by_account = attempts_key("pair", f"{account} {address}") if is_friend else attempts_key("account", account)
    count_attempt(by_account, rate, what=what)
    return _Counted([by_address, by_account], friend)


def _forgive(counted: _Counted) -> None:
    sql.forgive_attempt(counted.keys)
    sql.remember(counted.friend, period=FRIENDSHIP)


def _friend_key(account: str, address: str) -> str:
    """Return what is kept of an address that has opened an account: good until its tokens end."""
    user = models.User.objects.filter(email=account).first()
    return attempts_key("friend", f"{account} {address} {user.token_stamp if user else ''}")
