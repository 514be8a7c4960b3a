"""Where a request comes from, when nobody may be believed but our own proxies."""

import ipaddress
from functools import lru_cache

from django.conf import settings
from django.http import HttpRequest


def client_address(request: HttpRequest) -> str:
    """Return the network address that a request comes from; of IPv6 its /64, all of which one customer has.

    Each of TRUSTED_PROXIES proxies adds the address that it was called from to the end of X-Forwarded-For; what stands
    before those, the client may have made up. Without proxies the header is not looked at.
    """
    proxies = settings.TRUSTED_PROXIES
    told = [part.strip() for part in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",") if part.strip()]
    # Fewer addresses than proxies: somebody went round one of them, and only who called us is certain.
    text: str = told[-proxies] if 0 < proxies <= len(told) else request.META.get("REMOTE_ADDR", "")
    return _normalized(text[:64])


@lru_cache(maxsize=10_000)
def _normalized(text: str) -> str:
    if text.count(":") == 1 or text.startswith("["):  # some proxies add the port
        text = text.rpartition(":")[0].strip("[]") if text[-1] != "]" else text.strip("[]")
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return text
    if isinstance(address, ipaddress.IPv6Address):
        mapped = address.ipv4_mapped
        return str(mapped or ipaddress.ip_network((address, 64), strict=False))
    return str(address)
