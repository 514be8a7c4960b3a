"""How many requests a user or an address may make. It costs no statement: counts are in the cache, which is each
worker's own unless CACHE_URL names a shared one; with n workers a client may get n times as far."""

import logging
import math
import time
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.cache import cache
from rest_framework.request import Request

from shop.toolkit.http.addresses import client_address
from shop.toolkit.rates import Rate

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Quota:
    """What is left to a client: `remaining` requests for `seconds_left`; `is_used_up` when this one was too many."""

    name: str
    rate: Rate
    remaining: int
    seconds_left: int
    is_used_up: bool

    def headers(self) -> dict[str, str]:
        """Return the header fields of the IETF draft (draft-ietf-httpapi-ratelimit-headers)."""
        window = int(self.rate.period.total_seconds())
        return {
            "RateLimit-Policy": f'"{self.name}";q={self.rate.count};w={window}',
            "RateLimit": f'"{self.name}";r={self.remaining};t={self.seconds_left}',
        }


def use_quota(request: Request, user: Any) -> Quota | None:
    """Count a request against its user, or against its address when nobody has signed in; None where that is off.

    A cache that does not answer stops nobody.
    """
    is_user = user is not None and user.is_authenticated
    name, rate = ("user", settings.THROTTLE_USER) if is_user else ("anon", settings.THROTTLE_ANON)
    if rate is None:
        return None
    try:
        return _count(name, str(user.pk) if is_user else client_address(request), rate)
    except Exception:
        logger.exception("The cache does not answer; requests are not counted")
        return None


def _count(name: str, client: str, rate: Rate) -> Quota:
    period = rate.period.total_seconds()
    now = time.time()
    window = int(now // period)
    seconds_left = math.ceil((window + 1) * period - now)
    key = f"quota:{name}:{client}:{window}"
    try:
        used = cache.incr(key)
    except ValueError:  # the first of this window
        cache.add(key, 0, timeout=seconds_left + 1)
        used = cache.incr(key)
    return Quota(name, rate, max(0, rate.count - used), seconds_left, used > rate.count)
