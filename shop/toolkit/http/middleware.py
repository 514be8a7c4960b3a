"""What must hold for every request, the admin's included."""

import codecs
import re
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest, HttpResponse, HttpResponsePermanentRedirect
from django.middleware.common import CommonMiddleware
from django.utils.deprecation import MiddlewareMixin
from structlog.contextvars import bind_contextvars, reset_contextvars

from shop.toolkit.http.problems import problem
from shop.toolkit.http.request_bodies import max_form_bytes, read_length
from shop.toolkit.ids import new_id

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class _OfPages(MiddlewareMixin):
    """For what only the staff's pages need: the API has no sessions, and would pay for them with every request."""

    def __call__(self, request: HttpRequest) -> Any:
        of_pages = request.path_info.startswith("/admin")
        return super().__call__(request) if of_pages else self.get_response(request)


class PageSessions(_OfPages, SessionMiddleware):
    """Keeps who has signed in."""


class PageUsers(_OfPages, AuthenticationMiddleware):
    """Gives a request its user."""


class PageMessages(_OfPages, MessageMiddleware):
    """Keeps what is to be said on the next page."""


class KnownHosts(CommonMiddleware):
    """Refuses hosts that are not ours, but for SERVER_PATHS: who asks those knows a server's address only."""

    def process_request(self, request: HttpRequest) -> HttpResponsePermanentRedirect | None:
        return None if request.path_info in settings.SERVER_PATHS else super().process_request(request)


def name_requests(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Give each request a name, or keep that which a proxy gave it: it is in our log, in the answer and in problems."""

    def middleware(request: HttpRequest) -> HttpResponse:
        given = request.META.get("HTTP_X_REQUEST_ID", "")
        name = given if REQUEST_ID.fullmatch(given) else str(new_id())
        bound = bind_contextvars(request_id=name)
        try:
            response = get_response(request)
        finally:
            reset_contextvars(**bound)
        response.headers["X-Request-ID"] = name
        return response

    return middleware


def refuse_charsets(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Refuse requests that say they are not in UTF-8: Django would read path and form by whatever codec they name."""

    def middleware(request: HttpRequest) -> HttpResponse:
        if request.encoding and codecs.lookup(request.encoding).name != "utf-8":
            return problem(415, "unsupported_media_type", "Unsupported media type", "Send text in UTF-8.")
        return get_response(request)

    return middleware


def refuse_large(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Refuse what is larger than any upload may be, before a form is read to find its token."""

    def middleware(request: HttpRequest) -> HttpResponse:
        if content_length(request) > max_form_bytes():
            said = f"At most {settings.MAX_UPLOAD_BYTES:,} bytes are taken; split it, or pack it by gzip."
            return problem(413, "payload_too_large", "Payload too large", said)
        return get_response(request)

    return middleware


def content_length(request: HttpRequest) -> int:
    """Return the length that a request tells of its body; 0 where it tells none that is a number."""
    return read_length(request.META.get("CONTENT_LENGTH"))


# No script is inline anywhere. The admin's theme evaluates expressions that stand in its pages; both set styles.
PAGES = {
    "/admin/": "script-src 'self' 'unsafe-eval'",
    "/api/docs": "script-src 'self'",
}
PAGE_POLICY = (
    "default-src 'none'; {scripts}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
API_POLICY = "default-src 'none'; frame-ancestors 'none'"
POLICIES = {path: PAGE_POLICY.format(scripts=scripts) for path, scripts in PAGES.items()}


def content_security_policy(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """Tell browsers what pages may load and run: ours, and nothing that somebody put into them."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        found = (policy for path, policy in POLICIES.items() if request.path.startswith(path))
        response.headers["Content-Security-Policy"] = next(found, API_POLICY)
        return response

    return middleware


# Staff see archived products; the document is there as YAML and as JSON.
VARY = "Authorization, Accept"


def forbid_keeping(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Forbid browsers and proxies to keep answers, but for public reads without a token, and say what those vary by."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        path, headers = request.path_info, response.headers
        is_read = request.method in ("GET", "HEAD") and "HTTP_AUTHORIZATION" not in request.META
        if not (is_read and path.startswith(settings.PUBLIC_READS)):
            headers["Cache-Control"] = "no-store"
        if path.startswith(settings.API_PATHS):
            headers["Vary"] = f"{headers['Vary']}, {VARY}" if "Vary" in headers else VARY
        return response

    return middleware


def refuse_nul(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Refuse NUL in path, query and cookies: PostgreSQL has no such text, so any of them would end as a crash."""

    def middleware(request: HttpRequest) -> HttpResponse:
        query = request.META.get("QUERY_STRING", "")
        # Nearly all requests can have none, and need not be taken apart; a cookie may spell it in several ways.
        if "\0" not in request.path + query and "%00" not in query and "HTTP_COOKIE" not in request.META:
            return get_response(request)
        places = [
            ("path", [request.path]),
            *request.GET.lists(),
            *((name, [text]) for name, text in request.COOKIES.items()),
        ]
        errors = [
            {
                "field": name.replace("\0", ""),
                "code": "null_characters_not_allowed",
                "detail": "No NUL is allowed here.",
            }
            for name, texts in places
            if any("\0" in text for text in (name, *texts))
        ]
        if errors:
            return problem(400, "invalid", "Invalid request", "Remove the NUL character.", members={"errors": errors})
        return get_response(request)

    return middleware
