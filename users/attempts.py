"""What is counted and bounded, for all processes: failed logins, registrations, changes of address."""

import math
from collections.abc import Sequence

from django.db import transaction
from django.db.models.functions import Now
from django.utils.crypto import salted_hmac

from shop.toolkit.db import transactions
from shop.toolkit.rates import Rate
from shop.toolkit.refusals import Refusal
from users import models, sql


class TooManyAttempts(Refusal):
    """There were too many of `what`; `retry_after` is in how many seconds one more is looked at."""

    def __init__(self, what: str, *, retry_after: int) -> None:
        super().__init__(f"Too many {what}. Try again in {retry_after} seconds.")
        self.retry_after = retry_after


def attempts_key(kind: str, value: str) -> str:
    """Return what attempts stand against, as a hash: the table tells nobody which addresses were tried."""
    return salted_hmac(f"users.attempts.{kind}", value, algorithm="sha256").hexdigest()


def count_attempt(key: str, rate: Rate, *, what: str) -> None:
    """Count an attempt before it is judged, in a transaction of its own. Raises TooManyAttempts."""
    counted = transactions.run(lambda: sql.count_attempt(key, window=rate.period))
    if counted.failures > rate.count:
        raise TooManyAttempts(what, retry_after=max(1, math.ceil(counted.seconds_left)))


def take_back(keys: Sequence[str]) -> None:
    """Take one attempt back from each key, in a transaction of its own: it was right, or not judged at all."""
    if keys:
        transactions.run(lambda: sql.forgive_attempt(keys))


@transaction.atomic(savepoint=False)
def clear_attempts() -> int:
    """Forget the attempts that no longer stand against anybody; return how many rows that were."""
    return models.LoginAttempts.objects.filter(ends_at__lte=Now()).delete()[0]
