"""Admin of reservations: their lines, and the early release of a hold."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest
from unfold.widgets import UnfoldAdminTextInputWidget

from inventory.reservations import expiry, listing, models
from inventory.reservations.listing import claims_within
from inventory.stock import models as stock_models
from inventory.stock import scopes
from inventory.stock.limits import MAX_NOTE
from inventory.stock.vocabulary import State
from shop.toolkit.http.permissions import caller_of, user_of
from shop.toolkit.staff.admin import ReadOnlyAdmin, ServicePage, button, link


class EndHoldForm(forms.Form):
    reason = forms.CharField(
        label="Reason",
        max_length=MAX_NOTE,
        help_text="Recorded in the ledger.",
        widget=UnfoldAdminTextInputWidget,
    )


class EndHoldPage(ServicePage):
    permission_required = ("inventory.view_reservation", "inventory.change_reservation")
    form_class = EndHoldForm
    slug, label, icon = "end", "Release the hold", "lock_open"

    @classmethod
    def leads_on(cls, row: models.Reservation, user: Any) -> bool:
        return row.state == State.HELD and listing.is_within_scope(row.pk, caller=user_of(user))

    def act(self, given: dict[str, Any]) -> str:
        expiry.end_hold(self.row.pk, reason=given["reason"], caller=self.caller)
        return f"Released the hold of {self.row.reference}: {given['reason']}."


class OverdueFilter(admin.SimpleListFilter):
    """Overdue holds that are not expired yet."""

    title, parameter_name = "deadline", "overdue"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("1", "Passed")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[models.Reservation]) -> QuerySet[models.Reservation]:
        return queryset.filter(state=State.HELD, expires_at__lte=Now()) if self.value() else queryset


@admin.register(models.Reservation)
class ReservationAdmin(ReadOnlyAdmin):
    list_display = ("reference", "state", "created_at", "expires_at", "ended_at")
    list_filter = ("state", OverdueFilter)
    search_fields = ("reference__exact",)
    search_help_text = "Exact reference, such as an order number"
    ordering = ("-id",)
    fields = ("reference", "owner", "state", "created_at", "expires_at", "ended_at")
    change_form_outer_after_template = "inventory/lines.html"
    actions_detail = ("end",)
    end = button(EndHoldPage)

    def get_queryset(self, request: HttpRequest) -> QuerySet[models.Reservation]:
        rows: QuerySet[models.Reservation] = super().get_queryset(request)
        return rows.filter(claims_within(scopes.scope_of(caller_of(request))))

    def detail(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        lines = listing.get_reservation(row.pk, caller=caller_of(request)).lines
        items = stock_models.Item.objects.in_bulk([line.product_id for line in lines])
        return {
            "lines_title": "Claimed units",
            "lines": {
                "headers": ["SKU", "name", "warehouse", "units", "open", "shipped", "released", "returned"],
                "rows": [
                    [link("inventory_item_change", line.product_id, label=items[line.product_id].sku),
                     items[line.product_id].name, line.warehouse, line.quantity, line.open, line.fulfilled,
                     line.released, line.returned]
                    for line in lines
                ],
            },
        }  # fmt: skip
