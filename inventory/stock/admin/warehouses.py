"""Admin of warehouses, and of who works in which."""

from functools import cached_property
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.core.validators import RegexValidator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from unfold.decorators import display
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from inventory.stock import models, scopes, warehouses
from inventory.stock.scopes import within
from shop.toolkit.callers import User
from shop.toolkit.http.converters import CODE
from shop.toolkit.http.permissions import caller_of, user_of
from shop.toolkit.refusals import Refusal
from shop.toolkit.staff.admin import ListPage, ReadOnlyAdmin, ServicePage, button, link


class WarehouseForm(forms.Form):
    name = forms.CharField(label="Name", max_length=200, required=False, widget=UnfoldAdminTextInputWidget)
    priority = forms.IntegerField(
        label="Priority",
        min_value=0,
        max_value=1_000_000,
        initial=100,
        help_text="Orders are served from the lowest number first.",
        widget=UnfoldAdminIntegerFieldWidget,
    )
    is_active = forms.BooleanField(
        label="Serves orders", required=False, initial=True, widget=UnfoldBooleanSwitchWidget
    )


class NewWarehouseForm(WarehouseForm):
    field_order = ("code",)
    code = forms.CharField(
        label="Code",
        help_text="Files and people refer to it. It cannot be changed later.",
        validators=[RegexValidator(rf"\A{CODE}\Z", "Use at most 32 letters, digits, dots, dashes and underscores.")],
        widget=UnfoldAdminTextInputWidget,
    )


class NewWarehousePage(ListPage):
    permission_required = ("inventory.view_warehouse", "inventory.add_warehouse")
    form_class = NewWarehouseForm
    slug, label, icon, submit = "create", "New warehouse", "add", "Create"

    @classmethod
    def allows(cls, user: Any) -> bool:
        return super().allows(user) and scopes.scope_of(user_of(user)).everywhere

    def act(self, given: dict[str, Any]) -> str:
        created = warehouses.create_warehouse(**given, caller=self.caller)
        self.made = models.Warehouse.objects.get(pk=created.id)
        return f"Created warehouse {created.code}."


class ChangeWarehousePage(ServicePage):
    permission_required = ("inventory.view_warehouse", "inventory.change_warehouse")
    form_class = WarehouseForm
    slug, label, icon = "edit", "Change", "edit"

    def get_initial(self) -> dict[str, Any]:
        return {"name": self.row.name, "priority": self.row.priority, "is_active": self.row.is_active}

    def act(self, given: dict[str, Any]) -> str:
        changed = warehouses.update_warehouse(self.row.code, **given, caller=self.caller)
        state = "serves orders" if changed.is_active else "serves no orders"
        return f"Changed warehouse {changed.code}: {changed.name}, priority {changed.priority}, {state}."

    def done_at(self) -> str:
        return self.address("changelist")


class DeleteWarehousePage(ServicePage):
    permission_required = ("inventory.view_warehouse", "inventory.delete_warehouse")
    form_class = forms.Form
    slug, label, icon = "remove", "Delete", "delete"

    def act(self, given: dict[str, Any]) -> str:
        warehouses.delete_warehouse(self.row.code, caller=self.caller)
        return f"Deleted warehouse {self.row.code}."

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
        return rows.filter(within(scopes.scope_of(caller_of(request)), "id"))


class MemberForm(forms.Form):
    member = forms.ChoiceField(label="Member of staff", widget=UnfoldAdminSelectWidget)

    def __init__(self, *args: Any, reader: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        staff = get_user_model().objects.filter(is_staff=True, is_active=True, is_superuser=False).exclude(pk=reader.id)
        self.fields["member"].choices = [(str(row.pk), str(row)) for row in staff.order_by("email")]  # type: ignore[attr-defined]


class ScopeForm(forms.Form):
    warehouses = forms.MultipleChoiceField(
        label="Works in",
        required=False,
        help_text="Choose none for access to all warehouses.",
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )
    # The assignment when the form was opened: comma-separated codes, empty for all warehouses.
    expected = forms.CharField(required=False, widget=forms.HiddenInput({"autocomplete": "off"}))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        places = models.Warehouse.objects.order_by("priority", "id")
        self.fields["warehouses"].choices = [(row.code, row.code) for row in places]  # type: ignore[attr-defined]

    def clean_expected(self) -> list[str]:
        return [code for code in self.cleaned_data["expected"].split(",") if code]


class ScopePage(ListPage):
    """Asks for a member of staff, then shows their assignment; saves it if it has not changed meanwhile."""

    permission_required = ("inventory.view_warehousescope", "inventory.change_warehousescope")
    form_class = ScopeForm
    slug, label, icon, submit = "set-scope", "Assign warehouses", "badge", "Save"

    @classmethod
    def allows(cls, user: Any) -> bool:
        return super().allows(user) and scopes.scope_of(user_of(user)).everywhere

    @property
    def title(self) -> str:
        return self.label if self.member is None else f"Warehouses of {self.member}"

    @cached_property
    def member_form(self) -> MemberForm:
        return MemberForm(self.request.GET if "member" in self.request.GET else None, reader=self.caller)

    @cached_property
    def member(self) -> Any:
        """The member of staff named in the URL; None if it names nobody who can be assigned."""
        if not self.member_form.is_valid():
            return None
        return get_user_model().objects.get(pk=self.member_form.cleaned_data["member"])

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response: HttpResponse = super().get(request, *args, **kwargs) if self.member else self._ask_for_member()
        return response

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return super().post(request, *args, **kwargs) if self.member else self._ask_for_member()

    def _ask_for_member(self) -> HttpResponse:
        self.takes_key_again = False
        self.template_name = "inventory/scope_member.html"
        context = self.get_context_data(form=self.member_form)
        return self.render_to_response(context, status=422 if self.member_form.is_bound else 200)

    def get_form(self, form_class: Any = None) -> Any:
        form = super().get_form(form_class)
        form.fields["warehouses"].label = f"{self.member} works in"  # a phone cuts the title off
        return form

    def get_initial(self) -> dict[str, Any]:
        codes = warehouses.scope_codes(self.member.pk)
        return {"warehouses": codes, "expected": ",".join(codes)}

    def act(self, given: dict[str, Any]) -> str:
        self.made = self.member
        warehouses.set_scope(self.member.pk, **given, caller=self.caller)
        now, before = (", ".join(given[name]) or "all warehouses" for name in ("warehouses", "expected"))
        return f"{self.member} now works in {now}, before in {before}."

    def _refused(self, form: Any, refusal: Refusal) -> HttpResponse:
        if isinstance(refusal, warehouses.StaleScope):
            form.data = form.data.copy()
            form.data["expected"] = ",".join(refusal.current)
        return super()._refused(form, refusal)

    def explain(self, refusal: Refusal) -> str:
        again = " Save again to apply the selection below." if isinstance(refusal, warehouses.StaleScope) else ""
        return f"{refusal}{again}"


@admin.register(models.WarehouseScope)
class WarehouseScopeAdmin(ReadOnlyAdmin):
    list_display = ("user", "warehouse")
    list_display_links = None  # a row has nothing else to show
    list_filter = (("warehouse", admin.RelatedOnlyFieldListFilter),)
    list_select_related = ("user", "warehouse")
    search_fields = ("user__email",)
    ordering = ("user__email", "warehouse__priority", "warehouse_id")
    actions_list = ("set_scope",)
    set_scope = button(ScopePage)

    def get_queryset(self, request: HttpRequest) -> QuerySet[models.WarehouseScope]:
        """Return all assignments, or only their own for a caller who works in some warehouses only."""
        rows: QuerySet[models.WarehouseScope] = super().get_queryset(request)
        reader = caller_of(request)
        return rows if scopes.scope_of(reader).everywhere else rows.filter(user_id=reader.id)

    def get_list_display(self, request: HttpRequest) -> Any:
        return (*self.list_display, "change") if ScopePage.allows(request.user) else self.list_display

    @display(description="change")
    def change(self, row: models.WarehouseScope) -> str:
        label = f"Assign warehouses to {row.user}"
        return link("inventory_warehousescope_set_scope", label=label, member=row.user_id)
