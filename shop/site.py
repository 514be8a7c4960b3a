from collections.abc import Callable
from functools import partial
from typing import Any

from django.conf import settings
from django.contrib.auth.views import PasswordChangeView
from django.core.paginator import InvalidPage
from django.forms import Form
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern, URLResolver, reverse
from unfold.sites import UnfoldAdminSite

from shop.toolkit.http.addresses import client_address


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

    # Registered by the app that knows of passwords.
    password_form: Callable[..., Form]

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:
        """Change one's own password, by the form that counts guesses at the old one."""
        view = PasswordChangeView.as_view(
            form_class=partial(self.password_form, address=client_address(request)),
            success_url=reverse(f"{self.name}:password_change_done", current_app=self.name),
            template_name="admin/password_change.html",
            extra_context={**self.each_context(request), **(extra_context or {})},
        )
        request.current_app = self.name
        return view(request)

    def search(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Search; a page that there is not is not found."""
        try:
            return super().search(request, *args, **kwargs)
        except InvalidPage as error:
            raise Http404 from error
