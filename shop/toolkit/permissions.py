"""Whether one may call. Which rows one may see is an argument of the service."""

from typing import Any

from rest_framework.exceptions import PermissionDenied
from rest_framework.permissions import BasePermission
from rest_framework.request import Request


def is_staff_with(request: Request, permission: str) -> bool:
    """Tell whether the caller is staff and holds the Django model permission `app.verb_model`."""
    return bool(request.user and request.user.is_staff and request.user.has_perm(permission))


def staff_with(permission: str) -> type[BasePermission]:
    """Return the permission class of what only staff with a permission may call, reads and writes alike."""

    class StaffWith(BasePermission):
        def has_permission(self, request: Request, view: Any) -> bool:
            return is_staff_with(request, permission)

    return StaffWith


def require(request: Request, permission: str, said: str) -> None:
    """Refuse callers who are not staff with the permission, for what only some requests to a view take.

    `said` tells what they may not do, and what else to do. Raises PermissionDenied.
    """
    if not is_staff_with(request, permission):
        raise PermissionDenied(said)


def caller_id(request: Request) -> int:
    """Return the id of the user who calls, in a view that none but users may call."""
    assert request.user.pk is not None, "the view's access lets nobody in without a token"
    return request.user.pk


def visible_to(request: Request, permission: str) -> int | None:
    """Return whose rows the caller may see: their own id, or None (everybody's) for staff with the permission."""
    return None if is_staff_with(request, permission) else caller_id(request)
