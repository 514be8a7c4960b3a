from typing import Any

from django import forms
from django.contrib import admin
from django.core.validators import RegexValidator
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from unfold.decorators import action
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminTextInputWidget, UnfoldBooleanSwitchWidget

from inventory import models
from inventory import services as inventory
from shop.toolkit.admin import ReadOnlyAdmin, ServicePage
from shop.toolkit.converters import CODE

ADD, CHANGE, DELETE = "inventory.add_warehouse", "inventory.change_warehouse", "inventory.delete_warehouse"


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


class NewWarehousePage(ServicePage):
    permission_required = ("inventory.view_warehouse", ADD)
    form_class, title, submit = NewWarehouseForm, "New warehouse", "Create"
    makes_the_row = True

    def act(self, given: dict[str, Any]) -> str:
        self.created = inventory.create_warehouse(**given)
        return f"Created the warehouse {self.created.code}."

    def history_object(self) -> Model:
        return models.Warehouse.objects.get(pk=self.created.id)

    def target(self) -> str:
        return reverse("admin:inventory_warehouse_changelist")


class _WarehousePage(ServicePage):
    def history_object(self) -> models.Warehouse:
        row = models.Warehouse.objects.filter(pk=self.kwargs["warehouse_id"]).first()
        if row is None:
            raise Http404
        return row

    @property
    def title(self) -> str:
        return f"{self.submit}: {self.history_object().code}"

    def target(self) -> str:
        return reverse("admin:inventory_warehouse_changelist")


class ChangeWarehousePage(_WarehousePage):
    permission_required = ("inventory.view_warehouse", CHANGE)
    form_class, submit = WarehouseForm, "Change"

    def get_initial(self) -> dict[str, Any]:
        row = self.history_object()
        return {"name": row.name, "priority": row.priority, "is_active": row.is_active}

    def act(self, given: dict[str, Any]) -> str:
        changed = inventory.update_warehouse(self.history_object().code, **given)
        state = "orders are served from it" if changed.is_active else "no orders are served from it"
        return f"Changed {changed.code}: {changed.name}, priority {changed.priority}, {state}."


class DeleteWarehousePage(_WarehousePage):
    permission_required = ("inventory.view_warehouse", DELETE)
    form_class, submit = forms.Form, "Delete"

    def act(self, given: dict[str, Any]) -> str:
        code = self.history_object().code
        inventory.delete_warehouse(code)
        return f"Deleted the warehouse {code}."


PAGES = {"edit": ChangeWarehousePage, "remove": DeleteWarehousePage}


@admin.register(models.Warehouse)
class WarehouseAdmin(ReadOnlyAdmin):
    list_display = ("code", "name", "priority", "is_active")
    ordering = ("priority", "id")
    actions_list = ("create",)
    actions_detail = ("edit", "remove")

    def has_create_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return request.user.has_perm(ADD)

    def has_edit_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return request.user.has_perm(CHANGE)

    def has_remove_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return request.user.has_perm(DELETE)

    @action(description="New warehouse", url_path="to-create", permissions=["create"], icon="add")
    def create(self, request: HttpRequest) -> HttpResponse:
        return redirect("admin:inventory_warehouse_create_page")

    @action(description="Change", url_path="to-edit", permissions=["edit"], icon="edit")
    def edit(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return redirect("admin:inventory_warehouse_edit_page", object_id)

    @action(description="Delete", url_path="to-remove", permissions=["remove"], icon="delete")
    def remove(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return redirect("admin:inventory_warehouse_remove_page", object_id)

    def get_urls(self) -> list[URLPattern]:
        def view(page: type[ServicePage]) -> Any:
            return self.admin_site.admin_view(page.as_view(model_admin=self))

        pages = [
            path(f"<int:warehouse_id>/{name}/", view(page), name=f"inventory_warehouse_{name}_page")
            for name, page in PAGES.items()
        ]
        create = path("create/", view(NewWarehousePage), name="inventory_warehouse_create_page")
        return [create, *pages, *super().get_urls()]


@admin.register(models.Reservation)
class ReservationAdmin(ReadOnlyAdmin):
    list_display = ("reference", "state", "created_at", "expires_at", "ended_at")
    list_filter = ("state",)
    search_fields = ("reference__exact",)
    ordering = ("-id",)
