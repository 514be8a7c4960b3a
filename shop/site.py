from typing import Any

from django.conf import settings
from django.core.paginator import InvalidPage
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, URLResolver
from unfold.sites import UnfoldAdminSite


class StaffSite(UnfoldAdminSite):
    """The staff's screens: for staff, and where they need a second factor, for those who showed it."""

    def has_permission(self, request: HttpRequest) -> bool:
        is_staff: bool = super().has_permission(request)
        return is_staff and (not settings.SECOND_FACTOR or request.user.is_verified())  # type: ignore[union-attr]

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the form; after too many failures with the status that says so."""
        response: HttpResponse = super().login(request, extra_context)
        form = (getattr(response, "context_data", None) or {}).get("form")
        if form is not None and (wait := form.retry_after):
            response.status_code = 429
            response.headers["Retry-After"] = str(wait)
        return response

    def get_urls(self) -> list[URLPattern | URLResolver]:
        """Return Django's, but for its way from a row to its page on the site: no row here has one."""
        return [route for route in super().get_urls() if getattr(route, "name", None) != "view_on_site"]

    def search(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Search; a page that there is not is not found."""
        try:
            return super().search(request, *args, **kwargs)
        except InvalidPage as error:
            raise Http404 from error
