"""Whether one may call. Which rows one may see is an argument of the service."""

from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request


class IsStaff(BasePermission):
    """Staff may read."""

    def has_permission(self, request: Request, view: Any) -> bool:
        return bool(request.user and request.user.is_staff)


def staff_with(permission: str) -> type[BasePermission]:
    """Return the permission class of a write: staff who hold the Django model permission `app.verb_model`."""

    class StaffWith(IsStaff):
        def has_permission(self, request: Request, view: Any) -> bool:
            return super().has_permission(request, view) and request.user.has_perm(permission)

    return StaffWith


def caller_id(request: Request) -> int:
    """Return the id of the user who calls, in a view that none but users may call."""
    assert request.user.pk is not None, "the view's access lets nobody in without a token"
    return request.user.pk


def visible_to(request: Request) -> int | None:
    """Return the id of the user whose rows the caller may see; None for staff, who see everybody's."""
    return None if request.user.is_staff else caller_id(request)
