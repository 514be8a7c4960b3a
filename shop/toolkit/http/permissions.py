"""Who calls, and whether they may. Which rows they may see is for the service to say, which is given the caller."""

from typing import Any

from django.http import HttpRequest
from rest_framework.exceptions import PermissionDenied
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from shop.toolkit.callers import User


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


def caller_of(request: Request | HttpRequest) -> User:
    """Return the user who calls, in a view or on a page that none but users may reach."""
    return user_of(request.user)


def user_of(account: Any) -> User:
    """Return the caller that an account of Django is."""
    assert account.pk is not None, "nobody comes here without an account"
    return User(account.pk, is_staff=account.is_staff, has_perm=account.has_perm)
