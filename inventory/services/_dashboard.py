"""What staff want to see first: what is low, what sells, what will be out soon."""

from dataclasses import dataclass
from datetime import timedelta

from django.utils import timezone

from inventory import models, sql
from inventory.sql import Mover

DAYS, LISTED = 30, 10


@dataclass(frozen=True)
class Health:
    """How many items are low and out, how many holds are overdue, how many imports wait to be finished."""

    low: int
    out: int
    overdue_holds: int
    unfinished_imports: int


@dataclass(frozen=True)
class Sales:
    """Units shipped by day in the last DAYS, the products that sold most, and those that will be out soon."""

    by_day: list[tuple[str, int]]
    top: list[Mover]
    soon_out: list[Mover]


def stock_health() -> Health:
    """Return what of the stock needs somebody."""
    low, out, overdue = sql.health()
    unfinished = models.StockImport.objects.filter(status__in=models.UNFINISHED, is_dry_run=False).count()
    return Health(low, out, overdue, unfinished)


def sales() -> Sales:
    """Return what was sold by the ledger: what was shipped, whether from an order or by hand."""
    sold = sql.sold_by_day(DAYS)
    today = timezone.now().date()
    days = [today - timedelta(days=ago) for ago in range(DAYS - 1, -1, -1)]
    top, soon_out = sql.movers(DAYS, limit=LISTED)
    return Sales([(day.isoformat(), sold.get(day, 0)) for day in days], top, soon_out)
