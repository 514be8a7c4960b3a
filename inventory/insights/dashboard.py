"""Figures for the dashboard: low stock, sales, and products that will be out soon."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db.models import Sum
from django.utils import timezone

from inventory.imports import models as imports_models
from inventory.imports.documents import seen_by
from inventory.imports.vocabulary import ImportStatus
from inventory.insights import sql
from inventory.insights.sql import Mover, Places
from inventory.stock import models as stock_models
from inventory.stock.scopes import scope_of, within
from shop.toolkit.callers import Caller

DAYS, LISTED = 30, 10
OUTCOMES = ("new", "changed", "unchanged", "refused")
STALE = timedelta(minutes=10)  # an import of a million rows takes one or two


@dataclass(frozen=True)
class Health:
    """How many items are low or out of stock, holds overdue, and imports unfinished for longer than STALE."""

    low: int
    out: int
    overdue_holds: int
    stale_imports: int


@dataclass(frozen=True)
class StockFigures:
    """How many holds there are, how many are overdue, the age of the oldest; rows of imports by outcome."""

    holds: int
    overdue_holds: int
    oldest_hold_seconds: float
    import_rows: dict[str, int]
    unfinished_imports: int


@dataclass(frozen=True)
class Sales:
    """Units shipped by day in the last DAYS, the products that sold most, and those that will be out soon."""

    by_day: list[tuple[str, int]]
    top: list[Mover]
    soon_out: list[Mover]


def stock_health(*, caller: Caller) -> Health:
    """Return how much of the stock needs attention. Only the caller's warehouses count."""
    low, out, overdue = sql.health(_places(caller))
    begun = imports_models.StockImport.objects.filter(seen_by(caller), status__in=ImportStatus.UNFINISHED)
    stale = begun.filter(created_at__lt=timezone.now() - STALE).count()
    return Health(low, out, overdue, stale)


def stock_figures() -> StockFigures:
    """Return the monitored figures, by statements whose cost does not grow with the ledger."""
    holds, overdue, oldest = sql.holds()
    applied = imports_models.StockImport.objects.filter(is_dry_run=False)
    rows = applied.aggregate(**{outcome: Sum(outcome, default=0) for outcome in OUTCOMES})
    unfinished = imports_models.StockImport.objects.filter(status__in=ImportStatus.UNFINISHED).count()
    return StockFigures(holds, overdue, oldest, rows, unfinished)


def skus(product_ids: Collection[int]) -> dict[int, str]:
    """Return the SKUs of products by id; unknown ids are absent."""
    return dict(stock_models.Item.objects.filter(pk__in=product_ids).values_list("product_id", "sku"))


def sales(*, caller: Caller) -> Sales:
    """Return sales by the ledger: the units that were shipped, from an order or by hand.

    Only the caller's warehouses count.
    """
    at = _places(caller)
    by_day = [(day.isoformat(), units) for day, units in sql.sold_by_day(DAYS, at, zone=settings.TIME_ZONE)]
    top, soon_out = sql.movers(DAYS, at, limit=LISTED)
    return Sales(by_day, top, soon_out)


def _places(caller: Caller) -> Places:
    scope = scope_of(caller)
    rows = stock_models.Warehouse.objects.filter(within(scope, "id")).values_list("id", "is_active")
    return Places(scope.everywhere, [pk for pk, _ in rows], [pk for pk, is_active in rows if is_active])
