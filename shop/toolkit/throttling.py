"""How many requests a user or an address may make. It costs no statement: counts are in the cache, which is each
worker's own unless CACHE_URL names a shared one; with n workers a client may get n times as far."""

import math
import time
from dataclasses import dataclass

from django.conf import settings
from django.core.cache import cache
from rest_framework.request import Request

from shop.toolkit.addresses import client_address
from shop.toolkit.rates import Rate


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


def use_quota(request: Request) -> Quota | None:
    """Count a request against its user, or against its address when nobody has signed in; None where that is off."""
    user_id = request.user.pk if request.user and request.user.is_authenticated else None
    if user_id is not None:
        return _count("user", str(user_id), settings.THROTTLE_USER)
    if settings.THROTTLE_ANON is None:
        return None
    return _count("anon", client_address(request), settings.THROTTLE_ANON)


def _count(name: str, client: str, rate: Rate | None) -> Quota | None:
    if rate is None:
        return None
    period = rate.period.total_seconds()
    now = time.time()
    window = int(now // period)
    seconds_left = math.ceil((window + 1) * period - now)
    key = f"quota:{name}:{client}:{window}"
    try:
        used = cache.incr(key)
    except ValueError:
        cache.add(key, 0, timeout=seconds_left + 1)
        used = cache.incr(key)
    return Quota(name, rate, max(0, rate.count - used), seconds_left, used > rate.count)
