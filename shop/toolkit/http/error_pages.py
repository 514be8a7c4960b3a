"""Error pages for people: under /admin/ a problem becomes a page that says what happened and what to do."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string
from django.utils.cache import patch_vary_headers

from shop.toolkit.http import problems

# The first that a request prefers is what it gets: browsers and everybody without a wish get the page.
OFFERED = ["text/html", problems.CONTENT_TYPE, "application/json"]

LOOK_FIRST = "If you sent a form, look whether its change is there before you send it again."


@dataclass(frozen=True)
class Advice:
    """What a page says of a code: its title, what happened (the problem's own detail where empty), what to do."""

    title: str
    happened: str
    to_do: str
    offers_again: bool = False  # a link that opens the same address anew, such as a form that was sent to it


ADVICE = {
    "permission_denied": Advice(
        "You may not do this",
        "Your account does not have the right to this page.",
        "Ask a superuser to give it to you (Users, Access). If you have another account, sign out and sign in with it.",
    ),
    "csrf_failed": Advice(
        "The form was not accepted",
        "Its token is missing or out of date, so nothing was done. That happens when you sign in again, here or in "
        "another tab, after the form was opened, or when the browser keeps no cookies.",
        "Open the form again, fill it in and send it.",
        offers_again=True,
    ),
    "not_found": Advice(
        "There is nothing here",
        "What this address leads to is not there, or is outside of the warehouses that you work in.",
        "Check the address, or look for the row in its list.",
    ),
    "method_not_allowed": Advice(
        "This page is not opened that way",
        "The address takes requests of another kind only.",
        "Use the button or the form that leads to it.",
    ),
    "invalid": Advice("The request was not accepted", "", "Nothing was done. Go back and correct it.", True),
    "payload_too_large": Advice("Too much was sent", "", "Nothing was done. Send less at once.", True),
    "unsupported_media_type": Advice(
        "The request was not accepted", "", "Nothing was done. Open the page again and send its form.", True
    ),
    "stock_busy": Advice(
        "The database is busy",
        "It did not finish in time, so nothing was done. Somebody else may be changing the same rows.",
        "Try again in a moment.",
        offers_again=True,
    ),
    "database_unavailable": Advice(
        "The database does not answer",
        "The page needs it, and cannot be shown just now.",
        f"Wait a moment, then open the page again. {LOOK_FIRST}",
        offers_again=True,
    ),
    "internal_error": Advice(
        "Something went wrong on our side",
        "What exactly is in our log.",
        f"Tell whoever runs the shop the reference below. {LOOK_FIRST}",
        offers_again=True,
    ),
}
OTHERWISE = Advice("The request was not accepted", "", "Go back and try again.")


def show_pages(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponseBase]:
    """Answer people with pages, whoever refused: under /admin/ no error is shown as JSON, or as an empty page.

    A script that asks for JSON (`Accept: application/json`) gets the problem.
    """

    def middleware(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        if response.status_code < 400 or not _is_for_staff(request):
            return response
        if isinstance(response, HttpResponseNotAllowed):  # Django's own, without a word
            response = problems.method_not_allowed(response.headers["Allow"])
        if response.headers.get("Content-Type") != problems.CONTENT_TYPE:
            return response
        answer = response if request.get_preferred_type(OFFERED) in OFFERED[1:] else _page(request, response)
        patch_vary_headers(answer, ["Accept"])
        return answer

    return middleware


def _is_for_staff(request: HttpRequest) -> bool:
    return request.path_info == "/admin" or request.path_info.startswith("/admin/")


def _page(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    problem: dict[str, Any] = json.loads(response.content)
    advice = ADVICE.get(problem["code"], OTHERWISE)
    context = {
        **admin.site.each_context(_nobodys(request)),
        "site_url": "",  # no way out of the staff's screens
        "title": advice.title,
        "status": response.status_code,
        "happened": advice.happened or problem["detail"],
        "to_do": advice.to_do,
        "errors": problem.get("errors", []),
        "again": request.get_full_path() if advice.offers_again else "",
        "reference": problem.get("request_id", ""),
    }
    page = HttpResponse(
        render_to_string("toolkit/error_page.html", context, _nobodys(request)), status=response.status_code
    )
    for name in ("Allow", "Retry-After"):
        if name in response.headers:
            page.headers[name] = response.headers[name]
    page.cookies = response.cookies
    return page


def _nobodys(request: HttpRequest) -> HttpRequest:
    """Return a request for the same address by nobody: who is signed in stands in the database, which may be gone."""
    bare = HttpRequest()
    bare.META = {"SCRIPT_NAME": request.META.get("SCRIPT_NAME", "")}
    bare.path = bare.path_info = request.path_info
    bare.user = AnonymousUser()
    return bare
