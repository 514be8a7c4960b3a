"""The first page of the staff: what needs somebody, what was ordered today, what sells, what will be out soon."""

import json
from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from inventory import services as inventory
from orders import services as orders
from shop import verification
from shop.toolkit import days
from shop.toolkit.http.permissions import user_of
from shop.toolkit.staff.admin import link


def context(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add to the page what its reader may see: stock to those who see items, orders to those who see orders."""
    context["title"] = "Today"
    if request.user.has_perm("inventory.view_item"):
        context |= _stock(request.user)
    if request.user.has_perm("orders.view_order"):
        context["orders_today"] = _orders_today()
    return context


def _stock(user: Any) -> dict[str, Any]:
    caller = user_of(user)
    health, sales = inventory.stock_health(caller=caller), inventory.sales(caller=caller)
    items = reverse("admin:inventory_item_changelist")
    cards = [("Low", health.low, f"{items}?level=low"), ("Out of stock", health.out, f"{items}?level=out")]
    if user.has_perm("inventory.view_reservation"):
        holds = reverse("admin:inventory_reservation_changelist")
        cards.append(("Overdue holds", health.overdue_holds, f"{holds}?overdue=1"))
    if user.has_perm("inventory.view_stockimport"):
        imports = reverse("admin:inventory_stockimport_changelist")
        unfinished = "status__in=staged,applying,aborting,undoing"
        cards.append(("Stale imports", health.stale_imports, f"{imports}?{unfinished}"))
    return {
        "cards": cards,
        "books": _books(),
        "sold_by_day": json.dumps(_bars([day for day, _ in sales.by_day], [units for _, units in sales.by_day])),
        "has_sales": any(units for _, units in sales.by_day),
        "top": json.dumps(_bars([mover.sku for mover in sales.top], [mover.sold for mover in sales.top])),
        "soon_out": {
            "headers": ["SKU", "name", "days of cover", "available", "sold in 30 days"],
            "rows": [_soon_out(mover) for mover in sales.soon_out],
        },
    }


def _books() -> dict[str, Any]:
    """Return the last verdict of `verify_stock`, in words."""
    verdict = verification.last_verdict()
    if verdict is None:
        return {"said": "The stock records were never verified. Run manage.py verify_stock.", "is_broken": False}
    when = days.shown(verdict.taken_at, "%Y-%m-%d %H:%M")
    if verdict.broken:
        return {"said": f"The stock records were wrong at {when}: {', '.join(verdict.broken)}.", "is_broken": True}
    return {"said": f"The stock records were right at {when}: {verdict.checked} checks.", "is_broken": False}


def _bars(labels: list[str], units: list[int]) -> dict[str, Any]:
    bars = {"label": "units", "data": units, "backgroundColor": "var(--color-primary-600)"}
    return {"labels": labels, "datasets": [bars]}


def _soon_out(mover: inventory.Mover) -> list[Any]:
    item = link("inventory_item_change", mover.product_id, label=mover.sku)
    return [item, mover.name, mover.days_of_cover, mover.available, mover.sold]


def _orders_today() -> list[tuple[str, int, str]]:
    today = days.start_of(days.day_of(timezone.now()))
    listed = reverse("admin:orders_order_changelist")
    return [
        (status.replace("_", " "), count, f"{listed}?status__exact={status}")
        for status, count in orders.count_by_status(since=today).items()
    ]
