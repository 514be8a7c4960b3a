"""Admin of accounts. Superusers set who is staff, and their groups."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.models import Group
from django_otp.plugins.otp_totp.models import TOTPDevice
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldBooleanSwitchWidget,
)

from shop.toolkit.staff.admin import ReadOnlyAdmin, ServicePage, button
from users import accounts, models
from users.forms import OwnPasswordForm

admin.site.unregister(Group)  # what a group may do is in a migration
admin.site.password_form = OwnPasswordForm  # type: ignore[attr-defined]  # of our own site
admin.site.unregister(TOTPDevice)  # nobody reads another's second factor


class AccessForm(forms.Form):
    is_active = forms.BooleanField(
        label="Can sign in",
        required=False,
        help_text="If off, they are signed out at once.",
        widget=UnfoldBooleanSwitchWidget,
    )
    is_staff = forms.BooleanField(label="Is staff", required=False, widget=UnfoldBooleanSwitchWidget)
    is_superuser = forms.BooleanField(
        label="Is a superuser",
        required=False,
        help_text="Can do everything, including changing the access of others.",
        widget=UnfoldBooleanSwitchWidget,
    )
    groups = forms.MultipleChoiceField(
        label="Groups",
        required=False,
        choices=lambda: list(Group.objects.order_by("name").values_list("name", "name")),
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        if given.get("is_superuser") and not given.get("is_staff"):
            raise forms.ValidationError("A superuser must be staff. Switch “Is staff” on, or “Is a superuser” off.")
        return given


class AccessPage(ServicePage):
    form_class = AccessForm
    slug, label, icon, submit = "access", "Access", "key", "Save"

    @classmethod
    def allows(cls, user: Any) -> bool:
        return bool(user.is_superuser)

    def get_initial(self) -> dict[str, Any]:
        names = list(self.row.groups.values_list("name", flat=True))
        switches = {name: getattr(self.row, name) for name in ("is_active", "is_staff", "is_superuser")}
        return {**switches, "groups": names}

    def act(self, given: dict[str, Any]) -> str:
        accounts.set_access(self.row.pk, caller=self.caller, **given)
        sign_in = "can sign in" if given["is_active"] else "cannot sign in"
        staff = "staff" if given["is_staff"] else "not staff"
        role = "superuser" if given["is_superuser"] else staff
        groups = ", ".join(given["groups"]) or "no groups"
        return f"Changed the access of {self.row}: {sign_in}; {role}; {groups}."


@admin.register(models.User)
class UserAdmin(ReadOnlyAdmin):
    list_display = ("email", "name", "is_staff", "is_superuser", "is_active", "created_at")
    list_filter = ("is_staff", "is_superuser", "is_active", "groups")
    search_fields = ("email", "name")
    fields = ("email", "name", "is_active", "is_staff", "is_superuser", "groups", "created_at", "last_login")
    ordering = ("id",)
    actions_detail = ("access",)
    access = button(AccessPage)
