"""The staff's screens of accounts. Superusers say who is staff, and of which groups."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.models import Group
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from unfold.decorators import action
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldBooleanSwitchWidget

from shop.toolkit.admin import ReadOnlyAdmin, ServicePage
from users import models
from users import services as users

admin.site.unregister(Group)  # what a group may do is in a migration


class AccessForm(forms.Form):
    is_active = forms.BooleanField(
        label="May come in", required=False, help_text="Else they are out at once.", widget=UnfoldBooleanSwitchWidget
    )
    is_staff = forms.BooleanField(label="Is staff", required=False, widget=UnfoldBooleanSwitchWidget)
    groups = forms.MultipleChoiceField(
        label="Groups",
        required=False,
        choices=lambda: list(Group.objects.order_by("name").values_list("name", "name")),
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )


class AccessPage(ServicePage):
    form_class, submit = AccessForm, "Save"

    def has_permission(self) -> bool:
        return bool(self.request.user.is_superuser)

    @property
    def title(self) -> str:
        return f"Access: {self.account}"

    @property
    def account(self) -> models.User:
        row = models.User.objects.filter(pk=self.kwargs["user_id"]).first()
        if row is None:
            raise Http404
        return row

    def get_initial(self) -> dict[str, Any]:
        account = self.account
        names = list(account.groups.values_list("name", flat=True))
        return {"is_active": account.is_active, "is_staff": account.is_staff, "groups": names}

    def act(self, given: dict[str, Any]) -> str:
        users.set_access(self.kwargs["user_id"], actor_id=self.actor_id, **given)
        who = "staff" if given["is_staff"] else "no staff"
        groups = ", ".join(given["groups"]) or "no group"
        return f"{'May come in' if given['is_active'] else 'May not come in'}; {who}; {groups}."

    def history_object(self) -> Model:
        return self.account

    def target(self) -> str:
        return reverse("admin:users_user_change", args=[self.kwargs["user_id"]])


@admin.register(models.User)
class UserAdmin(ReadOnlyAdmin):
    list_display = ("email", "name", "is_staff", "is_active", "created_at")
    list_filter = ("is_staff", "is_active", "groups")
    search_fields = ("email", "name")
    fields = ("email", "name", "is_active", "is_staff", "is_superuser", "groups", "created_at", "last_login")
    ordering = ("id",)
    actions_detail = ("access",)

    def has_grant_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return bool(request.user.is_superuser)

    @action(description="Access", url_path="to-access", permissions=["grant"], icon="key")
    def access(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return redirect("admin:users_user_access_page", object_id)

    def get_urls(self) -> list[URLPattern]:
        page = self.admin_site.admin_view(AccessPage.as_view(model_admin=self))
        return [path("<int:user_id>/access/", page, name="users_user_access_page"), *super().get_urls()]
