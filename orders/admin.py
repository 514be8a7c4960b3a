"""Admin of orders: the list, the page of one order, its pick list, and its steps."""

from collections.abc import Callable
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.generic import TemplateView
from unfold.decorators import display
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminTextInputWidget, UnfoldBooleanSwitchWidget

from inventory import services as inventory
from orders import lifecycle, listing, models
from orders.listing import has_status, show_ended_holds
from shop.toolkit import money
from shop.toolkit.days import shown
from shop.toolkit.http.permissions import caller_of
from shop.toolkit.plurals import counted
from shop.toolkit.refusals import Refusal
from shop.toolkit.staff.admin import AdminPage, ReadOnlyAdmin, ServicePage, actors, button, link


def _text(label: str, longest: int, **options: Any) -> forms.CharField:
    return forms.CharField(label=label, max_length=longest, widget=UnfoldAdminTextInputWidget, **options)


class ConfirmForm(forms.Form):
    payment_reference = _text("Payment reference", 100, required=False)


class CancelForm(forms.Form):
    reason = _text("Reason", 500, required=False)


class UnitsForm(forms.Form):
    """A field per product of an order, for the units that a step takes."""

    most_at_first = True

    def __init__(
        self, *args: Any, order: listing.Order, room: Callable[[listing.OrderLine], int], **kwargs: Any
    ) -> None:
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
                    initial=most if self.most_at_first else None,
                    help_text=f"0 to {most}",
                    widget=UnfoldAdminIntegerFieldWidget,
                )
        self.order_fields([name for name in self.fields if name.startswith("units_")])

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        if not self.errors and not self.units():
            raise forms.ValidationError("Enter units for at least one product.")
        return given

    def units(self) -> list[inventory.Demand]:
        """Return the requested units by product."""
        return [
            inventory.Demand(int(name.removeprefix("units_")), quantity)
            for name, quantity in self.cleaned_data.items()
            if name.startswith("units_") and quantity
        ]


class ShipForm(UnitsForm):
    """The units to ship, and with the permission a switch to ship before older promises."""

    out_of_turn = forms.BooleanField(
        label="Ship out of turn",
        required=False,
        help_text="Even if older orders wait for these units.",
        widget=UnfoldBooleanSwitchWidget,
    )

    def __init__(self, *args: Any, may_skip: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not may_skip:
            del self.fields["out_of_turn"]


class ReturnForm(UnitsForm):
    most_at_first = False
    resalable = forms.BooleanField(
        label="Can be sold again",
        required=False,
        initial=True,
        help_text="Otherwise the units are kept as unavailable.",
        widget=UnfoldBooleanSwitchWidget,
    )
    note = _text("Note", 500, required=False)


class _OrderPage(ServicePage):
    permission_required = ("orders.view_order", "orders.change_order")
    states: ClassVar[tuple[str, ...]] = ()  # the statuses that allow the step

    @classmethod
    def leads_on(cls, row: Any, user: Any) -> bool:
        return row.status in cls.states

    def explain(self, refusal: Refusal) -> str:
        shortages, changes = getattr(refusal, "shortages", []), getattr(refusal, "price_changes", [])
        sku_of = inventory.skus([found.product_id for found in (*shortages, *changes)])
        short = ", ".join(
            f"{found.available:,} of {found.requested:,} {sku_of[found.product_id]}" for found in shortages
        )
        prices = ", ".join(
            f"{sku_of[change.product_id]}: {change.expected} in this order, "
            + ("not on sale" if change.actual is None else f"{change.actual} {change.currency} now")
            for change in changes
        )
        older = ", ".join(f"{found.quantity:,} for {found.reference}" for found in getattr(refusal, "promises", [])[:5])
        more = (prices and f"{prices}.", short and f"Available: {short}.", older and f"Older: {older}.")
        return " ".join(filter(None, [str(refusal), *more]))


class ConfirmPage(_OrderPage):
    permission_required = ("orders.view_order", "orders.confirm_order")
    form_class, states = ConfirmForm, ("pending", "expired")
    slug, label, icon = "confirm", "Confirm", "check"

    def act(self, given: dict[str, Any]) -> str:
        order = lifecycle.confirm_order(self.row.pk, caller=self.caller, now=timezone.now(), **given)
        if order.payment_reference != given["payment_reference"]:
            return (
                f"Order {order.number} was already confirmed; it keeps the payment reference {order.payment_reference}."
            )
        return f"Confirmed order {order.number}: its units are promised."


class CancelPage(_OrderPage):
    form_class, states = CancelForm, ("pending", "expired", "confirmed", "partially_fulfilled")
    slug, label, icon = "cancel", "Cancel the order", "close"

    def act(self, given: dict[str, Any]) -> str:
        order = lifecycle.cancel_order(self.row.pk, caller=self.caller, now=timezone.now(), **given)
        return f"Cancelled order {order.number}: the unshipped units are free again."


class _UnitsPage(_OrderPage):
    def room(self, line: listing.OrderLine) -> int:
        """Return how many units of a line the step may take."""
        raise NotImplementedError

    def get_form_kwargs(self) -> dict[str, Any]:
        order = listing.get_order(self.row.pk, caller=self.caller)
        return {**super().get_form_kwargs(), "order": order, "room": self.room}

    def form_valid(self, form: UnitsForm) -> HttpResponse:
        self.units = form.units()
        return super().form_valid(form)

    def _total(self) -> str:
        return counted(sum(found.quantity for found in self.units), "unit")


class FulfillPage(_UnitsPage):
    form_class, states = ShipForm, ("confirmed", "partially_fulfilled")
    slug, label, icon = "fulfill", "Ship", "local_shipping"

    def get_form_kwargs(self) -> dict[str, Any]:
        may_skip = self.request.user.has_perm("inventory.ship_out_of_turn")
        return {**super().get_form_kwargs(), "may_skip": may_skip}

    def room(self, line: listing.OrderLine) -> int:
        return line.quantity - line.fulfilled - line.cancelled

    def act(self, given: dict[str, Any]) -> str:
        lifecycle.fulfill_order(
            self.row.pk,
            items=self.units,
            out_of_turn=given.get("out_of_turn", False),
            caller=self.caller,
            now=timezone.now(),
        )
        return f"Shipped {self._total()} of order {self.row.number}."


class ReturnPage(_UnitsPage):
    form_class, states = ReturnForm, ("partially_fulfilled", "fulfilled", "cancelled")
    slug, label, icon = "take-back", "Take back", "undo"

    def room(self, line: listing.OrderLine) -> int:
        return line.fulfilled - line.returned

    def act(self, given: dict[str, Any]) -> str:
        lifecycle.return_items(
            self.row.pk,
            items=self.units,
            resalable=given["resalable"],
            note=given["note"],
            caller=self.caller,
            now=timezone.now(),
        )
        return f"Took back {self._total()} of order {self.row.number}."


class PickListPage(AdminPage, TemplateView):
    """The pick list of an order by warehouse, for printing."""

    permission_required = ("orders.view_order",)
    slug, label, icon = "pick-list", "Pick list", "print"
    template_name = "orders/pick_list.html"

    @classmethod
    def leads_on(cls, row: Any, user: Any) -> bool:
        return row.status in FulfillPage.states

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        picks: dict[str, list[listing.Pick]] = {}
        for pick in listing.pick_list(self.row.pk):
            picks.setdefault(pick.warehouse, []).append(pick)
        return super().get_context_data(order=self.row, picks=picks, printed_at=timezone.now(), **kwargs)


class StatusFilter(admin.SimpleListFilter):
    """Filters by the shown status. When a hold ends, the row itself is updated a moment later."""

    title, parameter_name = "status", "status__exact"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return list(models.Status.choices)

    def queryset(self, request: HttpRequest, queryset: QuerySet[models.Order]) -> QuerySet[models.Order]:
        status = self.value()
        return queryset.filter(has_status(status, models.Order.objects.all())) if status else queryset


@admin.register(models.Order)
class OrderAdmin(ReadOnlyAdmin):
    list_display = ("number", "user", "status", "to_pay", "created_at")
    list_filter = (StatusFilter,)
    list_select_related = ("user",)
    search_fields = ("number__exact", "user__email")
    search_help_text = "Order number or email"
    ordering = ("-id",)
    fields = ("status", "customer", "to_pay", "payment_reference", "created_at")
    readonly_fields = ("customer", "to_pay")
    change_form_outer_after_template = "orders/order.html"
    actions_detail = ("confirm", "pick_list", "fulfill", "cancel", "take_back")
    confirm = button(ConfirmPage)
    pick_list = button(PickListPage)
    fulfill = button(FulfillPage)
    cancel = button(CancelPage)
    take_back = button(ReturnPage)

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        found = super().get_changelist_instance(request)
        show_ended_holds(found.result_list)
        return found

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> models.Order | None:
        row: Any = super().get_object(request, object_id, from_field)
        if row is not None:
            row.leads_to_user = request.user.has_perm("users.view_user")
        show_ended_holds([row] if row else [])
        return row

    @display(description="user")
    def customer(self, row: Any) -> str:
        """Return the user of the order, as a link for readers who may view users."""
        return link("users_user_change", row.user_id, label=row.user) if row.leads_to_user else str(row.user)

    @display(description="total", ordering="total")
    def to_pay(self, row: models.Order) -> str:
        return f"{money.to_minor_unit(row.total, row.currency)} {row.currency}"

    def detail(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        return _detail(listing.get_order(row.pk, caller=caller_of(request)))


def _detail(order: listing.Order) -> dict[str, Any]:
    """Return the tables on the page of an order: lines, units to pick by warehouse, and history."""
    accounts = actors(event.actor_id for event in order.events)
    picks = listing.pick_list(order.id)
    return {
        "lines": {
            "headers": ["SKU", "name", "ordered", "shipped", "waiting", "returned", "cancelled", "price", "total"],
            "rows": [
                [line.sku, line.name, line.quantity, line.fulfilled, line.waiting, line.returned, line.cancelled,
                 f"{line.unit_price} {order.currency}", f"{line.total_price} {order.currency}"]
                for line in order.items
            ],
        },
        "picks": {
            "headers": ["warehouse", "SKU", "name", "units", "ready", "waiting for stock"],
            "rows": [
                [pick.warehouse, pick.sku, pick.name, pick.quantity, pick.ready, pick.waiting]
                for pick in picks
            ],
        },
        "events": {
            "headers": ["when", "what", "by", "why"],
            "rows": [
                [shown(event.created_at), event.event, accounts.get(event.actor_id, ""),
                 event.reason]
                for event in order.events
            ],
        },
    }  # fmt: skip
