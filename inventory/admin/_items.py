"""Items: what there is of each product, why so much is available, and the steps that change it."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.db.models import Exists, F, IntegerField, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce, Now
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import URLPattern, path
from unfold.decorators import action, display

from inventory import models
from inventory import services as inventory
from inventory.admin import _stock_pages as pages
from shop.toolkit.admin import ReadOnlyAdmin, actors
from shop.toolkit.pages import PageRequest

LISTED_MOVEMENTS = 50
PAGES = {
    "receive": pages.ReceivePage,
    "adjust": pages.AdjustPage,
    "set": pages.SetPage,
    "write-off": pages.WriteOffPage,
    "transfer": pages.TransferPage,
}


class WarehouseFilter(admin.SimpleListFilter):
    """Items that have a stock row there."""

    title, parameter_name = "warehouse", "warehouse"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return list(models.Warehouse.objects.values_list("code", "code"))

    def queryset(self, request: HttpRequest, queryset: QuerySet[models.Item]) -> QuerySet[models.Item]:
        if not self.value():
            return queryset
        return queryset.filter(Exists(_stocks().filter(warehouse__code=self.value())))


class LevelFilter(admin.SimpleListFilter):
    """What needs somebody: low, out, or held by holds past their deadline."""

    title, parameter_name = "level", "level"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("low", "Low"), ("out", "Out of stock"), ("overdue", "With overdue holds")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[models.Item]) -> QuerySet[models.Item]:
        available = _stocks().alias(free=models.AVAILABLE)
        if self.value() == "low":
            return queryset.filter(Exists(available.filter(models.IS_LOW)) | ~Exists(_stocks()), is_active=True)
        if self.value() == "out":
            return queryset.filter(~Exists(available.filter(free__gt=0, warehouse__is_active=True)), is_active=True)
        if self.value() == "overdue":
            overdue = models.ReservationLine.objects.filter(
                open__gt=0, reservation__state=models.State.HELD, reservation__expires_at__lte=Now()
            )
            return queryset.filter(pk__in=overdue.values("product_id"))
        return queryset


def _stocks() -> QuerySet[models.Stock]:
    return models.Stock.objects.filter(product_id=OuterRef("product_id"))


def _total(quantity: Any) -> Coalesce:
    totals = _stocks().order_by().values("product_id").annotate(total=Sum(quantity)).values("total")
    return Coalesce(Subquery(totals, output_field=IntegerField()), 0)


def _available() -> Coalesce:
    stocks = _stocks().filter(warehouse__is_active=True).order_by().values("product_id")
    totals = stocks.annotate(total=Sum(models.AVAILABLE)).values("total")
    return Coalesce(Subquery(totals, output_field=IntegerField()), 0)


def _step(name: str, description: str, icon: str) -> Callable[..., Any]:
    """Return the button of an item that leads to a page."""

    def go(self: "ItemAdmin", request: HttpRequest, object_id: str) -> HttpResponse:
        return redirect("admin:inventory_item_step", object_id, name)

    go.__name__ = f"step_{name.replace('-', '_')}"
    button: Callable[..., Any] = action(
        description=description, url_path=f"to-{name}", permissions=["change_stock"], icon=icon
    )(go)
    return button


@admin.register(models.Item)
class ItemAdmin(ReadOnlyAdmin):
    list_display = ("sku", "name", "total_available", "total_on_hand", "total_promised", "is_active")
    list_display_links = ("sku", "name")
    list_filter = (LevelFilter, WarehouseFilter, "is_active")
    search_fields = ("sku", "name")
    search_help_text = "SKU or name"
    ordering = ("sku",)
    list_per_page = 50
    fields = (("sku", "name", "is_active"),)
    change_form_outer_after_template = "inventory/item.html"
    actions_detail = ("step_receive", "step_adjust", "step_set", "step_write_off", "step_transfer")
    step_receive = _step("receive", "Receive", "add")
    step_adjust = _step("adjust", "Adjust", "exposure")
    step_set = _step("set", "Set", "edit")
    step_write_off = _step("write-off", "Write off", "delete")
    step_transfer = _step("transfer", "Transfer", "swap_horiz")

    # Named by a method: a permission named by its code would have the theme ask the database whenever a command starts.
    def has_change_stock_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return request.user.has_perm("inventory.change_stock")

    def get_queryset(self, request: HttpRequest) -> QuerySet[models.Item]:
        rows: QuerySet[models.Item] = super().get_queryset(request)
        return rows.annotate(
            available_units=_available(),
            on_hand_units=_total("on_hand"),
            promised_units=_total(F("reserved") + F("committed")),
        )

    @display(description="available", ordering="available_units")
    def total_available(self, row: Any) -> int:
        return int(row.available_units)

    @display(description="on hand", ordering="on_hand_units")
    def total_on_hand(self, row: Any) -> int:
        return int(row.on_hand_units)

    @display(description="promised", ordering="promised_units")
    def total_promised(self, row: Any) -> int:
        return int(row.promised_units)

    def get_urls(self) -> list[URLPattern]:
        steps = {name: page.as_view(model_admin=self) for name, page in PAGES.items()}

        def step(request: HttpRequest, object_id: int, name: str) -> HttpResponseBase:
            if name not in steps:
                raise Http404
            return steps[name](request, product_id=object_id)

        route = path("<int:object_id>/<slug:name>/", self.admin_site.admin_view(step), name="inventory_item_step")
        return [*super().get_urls()[:-1], route, *super().get_urls()[-1:]]

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        row = self.get_object(request, object_id) if object_id else None
        context = _detail(row.pk) if row is not None and self.has_view_permission(request, row) else {}
        return super().changeform_view(request, object_id, form_url, {**(extra_context or {}), **context})


def _detail(product_id: int) -> dict[str, Any]:
    """Return what the page of an item shows: why its stock is available, who holds it, and what happened."""
    explanation = inventory.explain(product_id)
    movements = inventory.list_movements(product_id, page=PageRequest(size=LISTED_MOVEMENTS)).results
    return {
        "subtitle": f"{explanation.item.available} available",
        "explanation": explanation,
        "stocks": {
            "headers": [
                "warehouse", "on hand", "reserved", "committed", "unavailable", "safety stock", "available", "low"
            ],
            "rows": [
                [stock.warehouse, stock.on_hand, stock.reserved, stock.committed, stock.unavailable,
                 stock.safety_stock, stock.available, "low" if stock.low_stock else ""]
                for stock in explanation.item.stocks
            ],
        },
        "promises": {
            "headers": ["reference", "warehouse", "units", "state", "until"],
            "rows": [
                [hold.reference, hold.warehouse, hold.quantity, "overdue" if hold.is_overdue else hold.state,
                 f"{hold.expires_at:%Y-%m-%d %H:%M}" if hold.expires_at else ""]
                for hold in (*explanation.holds, *explanation.orders)
            ],
        },
        "movements": {
            "headers": ["when", "warehouse", "what", "on hand", "reserved", "committed", "by", "reference", "note"],
            "rows": _movement_rows(movements),
        },
    }  # fmt: skip


def _movement_rows(movements: list[inventory.Movement]) -> list[list[Any]]:
    names = actors(movement.actor_id for movement in movements)
    return [
        [
            f"{movement.created_at:%Y-%m-%d %H:%M:%S}",
            movement.warehouse,
            f"{movement.kind} ({movement.reason})" if movement.reason else movement.kind,
            _change(movement.on_hand_delta, movement.on_hand),
            _change(movement.reserved_delta, movement.reserved),
            _change(movement.committed_delta, movement.committed),
            names.get(movement.actor_id, ""),
            movement.reference,
            movement.note,
        ]
        for movement in movements
    ]


def _change(delta: int, after: int) -> str:
    return f"{delta:+} → {after}" if delta else str(after)
