"""The staff's screens of orders: what was ordered, from where it is picked, and the steps that it may take."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from unfold.decorators import action
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminTextInputWidget, UnfoldBooleanSwitchWidget

from inventory import services as inventory
from orders import models
from orders import services as orders
from shop.toolkit.admin import ReadOnlyAdmin, ServicePage, actors


def _text(label: str, longest: int, **options: Any) -> forms.CharField:
    return forms.CharField(label=label, max_length=longest, widget=UnfoldAdminTextInputWidget, **options)


class ConfirmForm(forms.Form):
    payment_reference = _text("Payment reference", 100, required=False)


class CancelForm(forms.Form):
    reason = _text("Reason", 500, required=False)


class UnitsForm(forms.Form):
    """A field for each product of an order, of the units that a step may take."""

    most_at_first = True

    def __init__(self, *args: Any, order: orders.Order, room: Callable[[orders.OrderLine], int], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        units: dict[int, int] = {}
        names: dict[int, str] = {}
        for line in order.items:
            units[line.product_id] = units.get(line.product_id, 0) + room(line)
            names[line.product_id] = f"{line.sku} {line.name}"
        for product_id, most in units.items():
            if most:
                self.fields[f"units_{product_id}"] = forms.IntegerField(
                    label=names[product_id],
                    required=False,
                    min_value=0,
                    max_value=most,
                    initial=self.most_at_first and most,
                    help_text=f"0 to {most}",
                    widget=UnfoldAdminIntegerFieldWidget,
                )
        self.order_fields([name for name in self.fields if name.startswith("units_")])

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        if not self.errors and not self.units():
            raise forms.ValidationError("Give the units of one product at least.")
        return given

    def units(self) -> list[inventory.Demand]:
        """Return the products that were asked for."""
        return [
            inventory.Demand(int(name.removeprefix("units_")), quantity)
            for name, quantity in self.cleaned_data.items()
            if name.startswith("units_") and quantity
        ]


class ReturnForm(UnitsForm):
    most_at_first = False
    resalable = forms.BooleanField(
        label="They can be sold again",
        required=False,
        initial=True,
        help_text="Else they are kept as unavailable.",
        widget=UnfoldBooleanSwitchWidget,
    )
    note = _text("Note", 500, required=False)


class _OrderPage(ServicePage):
    permission_required = ("orders.view_order", "orders.change_order")

    @property
    def title(self) -> str:
        return f"{self.submit}: order {self.history_object()}"

    def history_object(self) -> Model:
        row = models.Order.objects.filter(pk=self.kwargs["order_id"]).first()
        if row is None:
            raise Http404
        return row

    def target(self) -> str:
        return reverse("admin:orders_order_change", args=[self.kwargs["order_id"]])

    def explain(self, refusal: Exception) -> str:
        shortages = getattr(refusal, "shortages", [])
        short = ", ".join(f"{found.available} of {found.requested} (product {found.product_id})" for found in shortages)
        return f"{refusal} There are {short}." if short else str(refusal)


class ConfirmPage(_OrderPage):
    form_class, submit = ConfirmForm, "Confirm"

    def act(self, given: dict[str, Any]) -> str:
        orders.confirm_order(
            self.kwargs["order_id"], visible_to=None, actor_id=self.actor_id, now=timezone.now(), **given
        )
        return "Confirmed: its units are promised."


class CancelPage(_OrderPage):
    form_class, submit = CancelForm, "Cancel the order"

    def act(self, given: dict[str, Any]) -> str:
        orders.cancel_order(
            self.kwargs["order_id"], visible_to=None, actor_id=self.actor_id, now=timezone.now(), **given
        )
        return "Cancelled: what was not shipped is free again."


class _UnitsPage(_OrderPage):
    def room(self, line: orders.OrderLine) -> int:
        """Return how many units of a line the step may take."""
        raise NotImplementedError

    def get_form_kwargs(self) -> dict[str, Any]:
        self.history_object()
        order = orders.get_order(self.kwargs["order_id"], visible_to=None)
        return {**super().get_form_kwargs(), "order": order, "room": self.room}

    def form_valid(self, form: UnitsForm) -> HttpResponse:
        self.units = form.units()
        return super().form_valid(form)


class FulfillPage(_UnitsPage):
    form_class, submit = UnitsForm, "Ship"

    def room(self, line: orders.OrderLine) -> int:
        return line.quantity - line.fulfilled - line.cancelled

    def act(self, given: dict[str, Any]) -> str:
        orders.fulfill_order(self.kwargs["order_id"], items=self.units, actor_id=self.actor_id, now=timezone.now())
        return f"Shipped {sum(found.quantity for found in self.units)} units."


class ReturnPage(_UnitsPage):
    form_class, submit = ReturnForm, "Take back"

    def room(self, line: orders.OrderLine) -> int:
        return line.fulfilled - line.returned

    def act(self, given: dict[str, Any]) -> str:
        orders.return_items(
            self.kwargs["order_id"],
            items=self.units,
            resalable=given["resalable"],
            note=given["note"],
            actor_id=self.actor_id,
            now=timezone.now(),
        )
        return f"Took back {sum(found.quantity for found in self.units)} units."


PAGES = {"confirm": ConfirmPage, "fulfill": FulfillPage, "cancel": CancelPage, "return": ReturnPage}
# From which states a step leads on; the service has the last word.
LEADS_ON = {
    "to-confirm": ("pending", "expired"),
    "to-fulfill": ("confirmed", "partially_fulfilled"),
    "to-cancel": ("pending", "confirmed", "partially_fulfilled"),
    "to-return": ("partially_fulfilled", "fulfilled", "cancelled"),
}


def _step(name: str, description: str, icon: str) -> Callable[..., Any]:
    """Return the button of an order that leads to a page."""

    def go(self: "OrderAdmin", request: HttpRequest, object_id: str) -> HttpResponse:
        return redirect("admin:orders_order_step_page", object_id, name)

    go.__name__ = f"step_{name}"
    button: Callable[..., Any] = action(
        description=description, url_path=f"to-{name}", permissions=["change_order"], icon=icon
    )(go)
    return button


@admin.register(models.Order)
class OrderAdmin(ReadOnlyAdmin):
    list_display = ("number", "user", "status", "total", "currency", "created_at")
    list_filter = ("status",)
    list_select_related = ("user",)
    search_fields = ("number__exact", "user__email")
    search_help_text = "Order number or email"
    ordering = ("-id",)
    fields = ("status", "user", "total", "currency", "payment_reference", "created_at")
    change_form_outer_after_template = "orders/order.html"
    actions_detail = ("step_confirm", "step_fulfill", "step_cancel", "step_return")
    step_confirm = _step("confirm", "Confirm", "check")
    step_fulfill = _step("fulfill", "Ship", "local_shipping")
    step_cancel = _step("cancel", "Cancel", "close")
    step_return = _step("return", "Take back", "undo")

    def has_change_order_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return request.user.has_perm("orders.change_order")

    def get_actions_detail(self, request: HttpRequest, object_id: str) -> list[Any]:
        """Show the steps that lead on from where the order is."""
        row = self.get_object(request, object_id)
        status = row.status if row else ""
        return [found for found in super().get_actions_detail(request, object_id) if status in LEADS_ON[found.path]]

    def get_urls(self) -> list[URLPattern]:
        steps = {name: page.as_view(model_admin=self) for name, page in PAGES.items()}

        def step(request: HttpRequest, order_id: UUID, name: str) -> HttpResponseBase:
            if name not in steps:
                raise Http404
            return steps[name](request, order_id=order_id)

        route = path("<uuid:order_id>/<slug:name>/", self.admin_site.admin_view(step), name="orders_order_step_page")
        return [*super().get_urls()[:-1], route, *super().get_urls()[-1:]]

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        row = self.get_object(request, object_id) if object_id else None
        context = _detail(orders.get_order(row.pk, visible_to=None)) if row is not None else {}
        return super().changeform_view(request, object_id, form_url, {**(extra_context or {}), **context})


def _detail(order: orders.Order) -> dict[str, Any]:
    """Return what the page of an order shows: its lines, the pick list by warehouse, its history."""
    accounts = actors(event.actor_id for event in order.events)
    lines = order.items
    picks = [(share.warehouse, line.sku, line.name, share.quantity) for line in lines for share in line.allocations]
    return {
        "lines": {
            "headers": ["SKU", "name", "ordered", "shipped", "returned", "cancelled", "price", "total"],
            "rows": [
                [line.sku, line.name, line.quantity, line.fulfilled, line.returned, line.cancelled,
                 f"{line.unit_price} {order.currency}", f"{line.total_price} {order.currency}"]
                for line in lines
            ],
        },
        "picks": {"headers": ["warehouse", "SKU", "name", "units"], "rows": [list(pick) for pick in sorted(picks)]},
        "events": {
            "headers": ["when", "what", "by", "why"],
            "rows": [
                [f"{event.created_at:%Y-%m-%d %H:%M:%S}", event.event, accounts.get(event.actor_id, ""),
                 event.reason]
                for event in order.events
            ],
        },
    }  # fmt: skip
