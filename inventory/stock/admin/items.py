"""Admin of items: the list with totals, the page of one item, and its ledger."""

import json
from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, F, IntegerField, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.generic import TemplateView
from unfold.decorators import display

from inventory.stock import claims, history, items, models, scopes
from inventory.stock.admin import pages
from inventory.stock.levels import AVAILABLE, IS_LOW, IS_SHOWN
from inventory.stock.scopes import Scope, within
from shop.toolkit.days import shown
from shop.toolkit.db.pages import PageRequest
from shop.toolkit.http.permissions import caller_of
from shop.toolkit.refusals import InvalidCursor
from shop.toolkit.staff.admin import AdminPage, ReadOnlyAdmin, actors, button, link

NEWEST, PAGE = 20, 100
# The theme's default options hide the legend, which a chart of three lines needs.
AXIS = {"grid": {}, "ticks": {"color": "#6b7280", "maxTicksLimit": 8, "precision": 0}}
HISTORY_OPTIONS = json.dumps(
    {
        "animation": False,
        "maintainAspectRatio": False,
        "datasets": {"line": {"borderWidth": 2, "pointStyle": False}},
        "plugins": {"legend": {"align": "end", "labels": {"color": "#6b7280", "boxHeight": 2, "boxWidth": 20}}},
        "scales": {"x": AXIS, "y": {**AXIS, "beginAtZero": True}},
    }
)


class WarehouseFilter(admin.SimpleListFilter):
    """Items with a stock row in one warehouse."""

    title, parameter_name = "warehouse", "warehouse"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        rows = models.Warehouse.objects.filter(within(scopes.scope_of(caller_of(request)), "id"))
        return list(rows.values_list("code", "code"))

    def queryset(self, request: HttpRequest, queryset: QuerySet[models.Item]) -> QuerySet[models.Item]:
        if not self.value():
            return queryset
        stocks = _stocks(scopes.scope_of(caller_of(request)))
        return queryset.filter(Exists(stocks.filter(warehouse__code=self.value())))


class LevelFilter(admin.SimpleListFilter):
    """Items that need attention: low, out of stock, or with overdue holds."""

    title, parameter_name = "level", "level"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("low", "Low"), ("out", "Out of stock"), ("overdue", "With overdue holds")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[models.Item]) -> QuerySet[models.Item]:
        scope = scopes.scope_of(caller_of(request))
        available = _stocks(scope).alias(free=AVAILABLE)
        if self.value() == "low":
            return queryset.filter(Exists(available.filter(IS_LOW)))
        if self.value() == "out":
            # An item without stock rows is out of stock, but does not exist for callers of some warehouses only.
            concerns = queryset if scope.everywhere else queryset.filter(Exists(_stocks(scope)))
            sold = available.filter(free__gt=0, warehouse__is_active=True)
            return concerns.filter(~Exists(sold), is_active=True)
        if self.value() == "overdue":
            return queryset.filter(pk__in=claims.overdue_products(caller=caller_of(request)))
        return queryset


def _stocks(scope: Scope) -> QuerySet[models.Stock]:
    return models.Stock.objects.filter(within(scope), IS_SHOWN, product_id=OuterRef("product_id"))


def _total(stocks: QuerySet[models.Stock], quantity: Any) -> Coalesce:
    totals = stocks.order_by().values("product_id").annotate(total=Sum(quantity)).values("total")
    return Coalesce(Subquery(totals, output_field=IntegerField()), 0)


class MovementsPage(AdminPage, TemplateView):
    """The whole ledger of an item, page by page."""

    permission_required = ("inventory.view_item", "inventory.view_movement")
    slug, label, icon = "movements", "Ledger", "receipt_long"
    has_button = False  # the newest movements on the item's page lead here
    template_name = "inventory/movements.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        found = self._movements(self.request.GET.get("cursor"))
        newer, older = [
            cursor and link("inventory_item_movements", self.row.pk, label=label, cursor=cursor)
            for cursor, label in ((found.previous, "Newer"), (found.next, "Older"))
        ]
        return super().get_context_data(movements=_movements(found.results), newer=newer, older=older, **kwargs)

    def _movements(self, cursor: str | None) -> Any:
        try:
            page = PageRequest(cursor=cursor, size=PAGE)
            return history.list_movements(self.row.pk, page=page, caller=self.caller)
        except InvalidCursor:
            return history.list_movements(self.row.pk, page=PageRequest(size=PAGE), caller=self.caller)


@admin.register(models.Item)
class ItemAdmin(ReadOnlyAdmin):
    list_display = ("sku", "name", "total_available", "total_on_hand", "total_promised", "is_active")
    list_display_links = ("sku", "name")
    list_filter = (LevelFilter, WarehouseFilter, "is_active")
    search_fields = ("sku", "name")
    search_help_text = "SKU or name"
    ordering = ("sku",)
    list_per_page = 50
    fields = ("sku", "name", "is_active")
    change_form_outer_after_template = "inventory/item.html"
    actions_detail = ("receive", "adjust", "set", "write_off", "transfer", "set_apart", "discard", "movements")
    receive = button(pages.ReceivePage)
    adjust = button(pages.AdjustPage)
    set = button(pages.SetPage)
    write_off = button(pages.WriteOffPage)
    transfer = button(pages.TransferPage)
    set_apart = button(pages.SetApartPage)
    discard = button(pages.DiscardPage)
    movements = button(MovementsPage)

    def get_queryset(self, request: HttpRequest) -> QuerySet[models.Item]:
        rows: QuerySet[models.Item] = super().get_queryset(request)
        stocks = _stocks(scopes.scope_of(caller_of(request)))
        return rows.annotate(
            available_units=_total(stocks.filter(warehouse__is_active=True), AVAILABLE),
            on_hand_units=_total(stocks, "on_hand"),
            promised_units=_total(stocks, F("reserved") + F("committed")),
        )

    def change_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        kwargs["extra_context"] = {"show_history": scopes.scope_of(caller_of(request)).everywhere}
        response: HttpResponse = super().change_view(request, *args, **kwargs)
        return response

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """Refuse callers who work in some warehouses only: the admin history is about all of them."""
        if not scopes.scope_of(caller_of(request)).everywhere:
            raise PermissionDenied
        response: HttpResponse = super().history_view(request, object_id, extra_context)
        return response

    @display(description="available", ordering="available_units")
    def total_available(self, row: Any) -> int:
        return int(row.available_units)

    @display(description="on hand", ordering="on_hand_units")
    def total_on_hand(self, row: Any) -> int:
        return int(row.on_hand_units)

    @display(description="promised", ordering="promised_units")
    def total_promised(self, row: Any) -> int:
        return int(row.promised_units)

    def detail(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """Return the tables of stock, promises and newest movements, and the chart of the stock over time."""
        viewer = caller_of(request)
        explanation = claims.explain(row.pk, caller=viewer)
        linked = request.user.has_perm("inventory.view_reservation")
        shown = {
            "subtitle": f"{explanation.item.available} available",
            "stocks": _stock_table(explanation.item),
            "promises": _promise_table((*explanation.holds, *explanation.orders), linked=linked),
            "history": _history(history.stock_history(row.pk, now=timezone.now(), caller=viewer)),
            "history_options": HISTORY_OPTIONS,
        }
        if not MovementsPage.allows(request.user):
            return shown
        newest = history.list_movements(row.pk, page=PageRequest(size=NEWEST), caller=viewer)
        all_movements = link("inventory_item_movements", row.pk, label="Whole ledger")
        return {**shown, "movements": _movements(newest.results), "all_movements": all_movements}


def _stock_table(item: items.Item) -> dict[str, Any]:
    return {
        "headers": [
            "warehouse", "on hand", "reserved", "committed", "unavailable", "safety stock", "available", "low"
        ],
        "rows": [
            [stock.warehouse, stock.on_hand, stock.reserved, stock.committed, stock.unavailable, stock.safety_stock,
             stock.available, "low" if stock.low_stock else ""]
            for stock in item.stocks
        ],
    }  # fmt: skip


def _promise_table(promises: Iterable[claims.Promise], *, linked: bool) -> dict[str, Any]:
    def reference(hold: claims.Promise) -> str:
        if not linked:
            return hold.reference
        return link("inventory_reservation_change", hold.reservation_id, label=hold.reference)

    return {
        "headers": ["reference", "warehouse", "units", "state", "until"],
        "rows": [
            [reference(hold), hold.warehouse, hold.quantity, "overdue" if hold.is_overdue else hold.state,
             shown(hold.expires_at, "%Y-%m-%d %H:%M") if hold.expires_at else ""]
            for hold in promises
        ],
    }  # fmt: skip


def _history(points: list[history.HistoryPoint]) -> str:
    """Return the chart of the stock over time as JSON; empty without a movement."""
    if not points:
        return ""
    is_short = (points[-1].at - points[0].at).days < 3
    lines = (("on hand", "on_hand", "600"), ("promised", "promised", "400"), ("unavailable", "unavailable", "200"))
    return json.dumps(
        {
            "labels": [shown(point.at, "%m-%d %H:%M" if is_short else "%m-%d") for point in points],
            "datasets": [
                {
                    "label": label,
                    "data": [int(getattr(point, name)) for point in points],
                    "borderColor": f"var(--color-primary-{shade})",
                    "stepped": True,
                }
                for label, name, shade in lines
            ],
        }
    )


def _movements(movements: list[history.Movement]) -> dict[str, Any]:
    names = actors(movement.actor_id for movement in movements)
    return {
        "headers": [
            "when",
            "warehouse",
            "what",
            "on hand",
            "reserved",
            "committed",
            "unavailable",
            "by",
            "reference",
            "note",
        ],
        "rows": [
            [
                shown(movement.created_at),
                movement.warehouse,
                f"{movement.kind} ({movement.reason})" if movement.reason else movement.kind,
                _change(movement.on_hand_delta, movement.on_hand),
                _change(movement.reserved_delta, movement.reserved),
                _change(movement.committed_delta, movement.committed),
                _change(movement.unavailable_delta, movement.unavailable),
                names.get(movement.actor_id, ""),
                movement.reference,
                movement.note,
            ]
            for movement in movements
        ],
    }


def _change(delta: int, after: int) -> str:
    return f"{delta:+} → {after}" if delta else str(after)
