"""How often something may be done: a count in a period, written as `10/15m`."""

import re
from dataclasses import dataclass
from datetime import timedelta

_RATE = re.compile(r"(?P<count>[1-9][0-9]{0,8})/(?P<length>[1-9][0-9]{0,4})?(?P<unit>[smhd])", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True)
class Rate:
    """At most `count` times in each `period`."""

    count: int
    period: timedelta


def read_rate(text: str) -> Rate:
    """Return the rate that `10/s`, `10/15m`, `100/h` or `1000/d` says. Raises ValueError."""
    found = _RATE.fullmatch(text)
    if found is None:
        raise ValueError(text)
    return Rate(int(found["count"]), timedelta(**{_UNITS[found["unit"]]: int(found["length"] or 1)}))
