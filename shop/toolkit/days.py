"""Calendar days, in the shop's time zone (TIME_ZONE). Moments are kept and told in UTC."""

from datetime import date, datetime, time, timedelta

from django.utils import timezone


def start_of(day: date) -> datetime:
    """Return the first moment of a day."""
    return datetime.combine(day, time.min, tzinfo=timezone.get_default_timezone())


def end_of(day: date) -> datetime:
    """Return the first moment after a day. Raises OverflowError for the last day that there is."""
    return start_of(day + timedelta(days=1))


def day_of(moment: datetime) -> date:
    """Return the day on which a moment falls."""
    return timezone.localtime(moment, timezone.get_default_timezone()).date()


def shown(moment: datetime, pattern: str = "%Y-%m-%d %H:%M:%S") -> str:
    """Return a moment as people in the shop read it."""
    return timezone.localtime(moment, timezone.get_default_timezone()).strftime(pattern)
