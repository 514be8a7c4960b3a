"""Warehouses, who works in which, and reservations."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.core.validators import RegexValidator
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from inventory import models
from inventory import services as inventory
from inventory.services._scopes import claims_within, within
from shop.toolkit.admin import ListPage, ReadOnlyAdmin, ServicePage, button, link
from shop.toolkit.converters import CODE


class WarehouseForm(forms.Form):
    name = forms.CharField(label="Name", max_length=200, required=False, widget=UnfoldAdminTextInputWidget)
    priority = forms.IntegerField(
        label="Priority",
        min_value=0,
        max_value=1_000_000,
        initial=100,
        help_text="The lowest number is served from first.",
        widget=UnfoldAdminIntegerFieldWidget,
    )
    is_active = forms.BooleanField(
        label="Orders are served from it", required=False, initial=True, widget=UnfoldBooleanSwitchWidget
    )


class NewWarehouseForm(WarehouseForm):
    field_order = ("code",)
    code = forms.CharField(
        label="Code",
        help_text="Files and people refer to it; it stays.",
        validators=[RegexValidator(rf"\A{CODE}\Z", "At most 32 letters, digits, dots, dashes and underscores.")],
        widget=UnfoldAdminTextInputWidget,
    )


class NewWarehousePage(ListPage):
    permission_required = ("inventory.view_warehouse", "inventory.add_warehouse")
    form_class = NewWarehouseForm
    slug, label, icon, submit = "create", "New warehouse", "add", "Create"

    @classmethod
    def allows(cls, user: Any) -> bool:
        return super().allows(user) and inventory.scope_of(user.pk) is None

    def act(self, given: dict[str, Any]) -> str:
        created = inventory.create_warehouse(**given, actor_id=self.actor_id)
        self.made = models.Warehouse.objects.get(pk=created.id)
        return f"Created the warehouse {created.code}."


class ChangeWarehousePage(ServicePage):
    permission_required = ("inventory.view_warehouse", "inventory.change_warehouse")
    form_class = WarehouseForm
    slug, label, icon = "edit", "Change", "edit"

    def get_initial(self) -> dict[str, Any]:
        return {"name": self.row.name, "priority": self.row.priority, "is_active": self.row.is_active}

    def act(self, given: dict[str, Any]) -> str:
        changed = inventory.update_warehouse(self.row.code, **given, actor_id=self.actor_id)
        state = "orders are served from it" if changed.is_active else "no orders are served from it"
        return f"Changed {changed.code}: {changed.name}, priority {changed.priority}, {state}."

    def done_at(self) -> str:
        return self.address("changelist")


class DeleteWarehousePage(ServicePage):
    permission_required = ("inventory.view_warehouse", "inventory.delete_warehouse")
    form_class = forms.Form
    slug, label, icon = "remove", "Delete", "delete"

    def act(self, given: dict[str, Any]) -> str:
        inventory.delete_warehouse(self.row.code, actor_id=self.actor_id)
        return f"Deleted the warehouse {self.row.code}."

    def done_at(self) -> str:
        return self.address("changelist")


@admin.register(models.Warehouse)
class WarehouseAdmin(ReadOnlyAdmin):
    list_display = ("code", "name", "priority", "is_active")
    ordering = ("priority", "id")
    actions_list = ("create",)
    actions_detail = ("edit", "remove")
    create = button(NewWarehousePage)
    edit = button(ChangeWarehousePage)
    remove = button(DeleteWarehousePage)

    def get_queryset(self, request: HttpRequest) -> QuerySet[models.Warehouse]:
        rows: QuerySet[models.Warehouse] = super().get_queryset(request)
        return rows.filter(within(inventory.scope_of(request.user.pk), "id"))


class ScopeForm(forms.Form):
    member = forms.ChoiceField(label="Member of staff", widget=UnfoldAdminSelectWidget)
    warehouses = forms.MultipleChoiceField(
        label="Works in",
        required=False,
        help_text="In all, when none is chosen.",
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )

    def __init__(self, *args: Any, reader: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        staff = get_user_model().objects.filter(is_staff=True, is_active=True, is_superuser=False).exclude(pk=reader)
        self.fields["member"].choices = [(str(row.pk), str(row)) for row in staff.order_by("email")]  # type: ignore[attr-defined]
        places = models.Warehouse.objects.order_by("priority", "id")
        self.fields["warehouses"].choices = [(row.code, row.code) for row in places]  # type: ignore[attr-defined]


class ScopePage(ListPage):
    permission_required = ("inventory.view_warehousescope", "inventory.change_warehousescope")
    form_class = ScopeForm
    slug, label, icon, submit = "set-scope", "Say where somebody works", "badge", "Save"

    @classmethod
    def allows(cls, user: Any) -> bool:
        return super().allows(user) and inventory.scope_of(user.pk) is None

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "reader": self.actor_id}

    def act(self, given: dict[str, Any]) -> str:
        self.made = get_user_model().objects.get(pk=given["member"])
        inventory.set_scope(self.made.pk, warehouses=given["warehouses"], actor_id=self.actor_id)
        return f"{self.made} works in {', '.join(given['warehouses']) or 'all warehouses'}."


@admin.register(models.WarehouseScope)
class WarehouseScopeAdmin(ReadOnlyAdmin):
    list_display = ("user", "warehouse")
    list_filter = (("warehouse", admin.RelatedOnlyFieldListFilter),)
    list_select_related = ("user", "warehouse")
    search_fields = ("user__email",)
    ordering = ("user__email", "warehouse__priority", "warehouse_id")
    actions_list = ("set_scope",)
    set_scope = button(ScopePage)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_view_permission(request, obj) and inventory.scope_of(request.user.pk) is None


class EndHoldForm(forms.Form):
    reason = forms.CharField(
        label="Reason",
        max_length=models.MAX_NOTE,
        help_text="It stands in the ledger.",
        widget=UnfoldAdminTextInputWidget,
    )


class EndHoldPage(ServicePage):
    permission_required = ("inventory.view_reservation", "inventory.change_reservation")
    form_class = EndHoldForm
    slug, label, icon = "end", "Release the hold", "lock_open"

    @classmethod
    def leads_on(cls, row: models.Reservation, user: Any) -> bool:
        return row.state == models.State.HELD and inventory.is_within_scope(row.pk, user_id=user.pk)

    def act(self, given: dict[str, Any]) -> str:
        inventory.end_hold(self.row.pk, reason=given["reason"], actor_id=self.actor_id)
        return f"Released what {self.row.reference} held: {given['reason']}."


class OverdueFilter(admin.SimpleListFilter):
    """Holds past their deadline that nobody has ended yet."""

    title, parameter_name = "deadline", "overdue"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("1", "Passed")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[models.Reservation]) -> QuerySet[models.Reservation]:
        return queryset.filter(state=models.State.HELD, expires_at__lte=Now()) if self.value() else queryset


@admin.register(models.Reservation)
class ReservationAdmin(ReadOnlyAdmin):
    list_display = ("reference", "state", "created_at", "expires_at", "ended_at")
    list_filter = ("state", OverdueFilter)
    search_fields = ("reference__exact",)
    search_help_text = "Reference: the id of an order"
    ordering = ("-id",)
    fields = ("reference", "owner", "state", "created_at", "expires_at", "ended_at")
    change_form_outer_after_template = "inventory/lines.html"
    actions_detail = ("end",)
    end = button(EndHoldPage)

    def get_queryset(self, request: HttpRequest) -> QuerySet[models.Reservation]:
        rows: QuerySet[models.Reservation] = super().get_queryset(request)
        return rows.filter(claims_within(inventory.scope_of(request.user.pk)))

    def detail(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        lines = inventory.get_reservation(row.pk, visible_to=request.user.pk).lines
        items = models.Item.objects.in_bulk([line.product_id for line in lines])
        return {
            "lines_title": "What it claims",
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
