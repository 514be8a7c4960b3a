"""Limits, for all processes together, on failed logins, registrations and email changes."""

import math
from collections.abc import Sequence

from django.db import transaction
from django.db.models.functions import Now
from django.utils.crypto import salted_hmac

from shop.toolkit.db import transactions
from shop.toolkit.plurals import counted
from shop.toolkit.rates import Rate
from shop.toolkit.refusals import Refusal
from users import models, sql


class TooManyAttempts(Refusal):
    """There were too many of `what`; the next attempt is possible in `retry_after` seconds."""

    def __init__(self, what: str, *, retry_after: int) -> None:
        super().__init__(f"Too many {what}. Try again in {counted(retry_after, 'second')}.")
        self.retry_after = retry_after


def attempts_key(kind: str, value: str) -> str:
    """Return the key to count attempts under. It is a hash: the table must not reveal which addresses were tried."""
    return salted_hmac(f"users.attempts.{kind}", value, algorithm="sha256").hexdigest()


def count_attempt(key: str, rate: Rate, *, what: str) -> None:
    """Count an attempt before it is checked, in a transaction of its own. Raises TooManyAttempts."""
    counted = transactions.run(lambda: sql.count_attempt(key, window=rate.period))
    if counted.failures > rate.count:
        raise TooManyAttempts(what, retry_after=max(1, math.ceil(counted.seconds_left)))


def take_back(keys: Sequence[str]) -> None:
    """Uncount one attempt for each key, in a transaction of its own: it succeeded, or was never checked."""
    if keys:
        transactions.run(lambda: sql.forgive_attempt(keys))


@transaction.atomic(savepoint=False)
def clear_attempts() -> int:
    """Delete the counts whose period is over; return how many."""
    return models.LoginAttempts.objects.filter(ends_at__lte=Now()).delete()[0]
