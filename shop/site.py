from django.conf import settings
from django.http import HttpRequest
from unfold.sites import UnfoldAdminSite


class StaffSite(UnfoldAdminSite):
    """The staff's screens: for staff, and where they need a second factor, for those who showed it."""

    def has_permission(self, request: HttpRequest) -> bool:
        is_staff: bool = super().has_permission(request)
        return is_staff and (not settings.SECOND_FACTOR or request.user.is_verified())  # type: ignore[union-attr]
