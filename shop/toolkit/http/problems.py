"""RFC 9457 problem details: the one shape of every error that leaves the server."""

from collections.abc import Mapping
from typing import Any

import structlog
from django.conf import settings
from django.core.exceptions import RequestDataTooBig, TooManyFieldsSent, TooManyFilesSent
from django.http import HttpRequest, HttpResponse, JsonResponse
from drf_spectacular.utils import inline_serializer
from rest_framework import serializers

from shop.toolkit.telemetry import metrics

CONTENT_TYPE = "application/problem+json"


# For the schema: what every error looks like. Further members depend on the code.
ProblemShape = inline_serializer(
    name="Problem",
    fields={
        "type": serializers.CharField(help_text="A name for the kind of problem: `urn:problem:` and the code."),
        "title": serializers.CharField(),
        "status": serializers.IntegerField(),
        "detail": serializers.CharField(),
        "code": serializers.CharField(help_text="Stable and meant for programs."),
        "request_id": serializers.CharField(required=False, help_text="The name of the request in the server log."),
        "errors": inline_serializer(
            name="FieldError",
            many=True,
            required=False,
            help_text="With the code `invalid`: each wrong field.",
            fields={
                "field": serializers.CharField(help_text="Its path, as in `items.0.quantity`; empty for the body."),
                "code": serializers.CharField(),
                "detail": serializers.CharField(),
            },
        ),
    },
)


def problem(
    status: int,
    code: str,
    title: str,
    detail: str,
    *,
    members: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> HttpResponse:
    """Build the response. `members` are the further fields that a code promises (`shortages`, `errors` ...)."""
    metrics.REFUSALS.labels(code).inc()
    body = {"type": f"urn:problem:{code}", "title": title, "status": status, "detail": detail, "code": code}
    # What the request is called in our log; nothing outside of one, as in a command.
    bound = structlog.contextvars.get_contextvars()
    named = {"request_id": bound["request_id"]} if "request_id" in bound else {}
    return JsonResponse(
        {**body, **(members or {}), **named}, status=status, content_type=CONTENT_TYPE, headers=dict(headers or {})
    )


def method_not_allowed(allowed: str) -> HttpResponse:
    """Answer a method that a page outside of the API does not have."""
    return problem(405, "method_not_allowed", "Method not allowed", f"{allowed}.", headers={"Allow": allowed})


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer what Django refuses, before a view runs or when one first reads a parameter or a form: a foreign Host
    header, a broken upload, more of something than DATA_UPLOAD_* allows."""
    if isinstance(exception, RequestDataTooBig):
        said = f"The fields of a form may have at most {settings.DATA_UPLOAD_MAX_MEMORY_SIZE:,} bytes; send less."
        return problem(413, "payload_too_large", "Payload too large", said)
    if isinstance(exception, TooManyFieldsSent):
        return _too_many("fields", settings.DATA_UPLOAD_MAX_NUMBER_FIELDS, "parameters or fields")
    if isinstance(exception, TooManyFilesSent):
        return _too_many("files", settings.DATA_UPLOAD_MAX_NUMBER_FILES, "files")
    return problem(400, "invalid", "Bad request", "The server does not accept this request.", members={"errors": []})


def _too_many(kind: str, limit: int, named: str) -> HttpResponse:
    said = f"A request may have at most {limit:,} {named}; send fewer."
    errors = [{"field": "", "code": f"too_many_{kind}", "detail": said}]
    return problem(400, "invalid", "Invalid request", said, members={"errors": errors})


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer what somebody has no permission for."""
    return problem(403, "permission_denied", "Permission denied", "You may not do this.")


def csrf_failed(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Answer a form whose token is missing, or from before its sender signed in last."""
    return problem(
        403, "csrf_failed", "Form token refused", "The token of the form is missing or outdated. Open the form again."
    )


def unknown_path(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a URL that no route matches; it never reaches REST framework."""
    return problem(404, "not_found", "Not found", f"There is nothing at {request.path}.")


def crash() -> HttpResponse:
    """Answer an uncaught bug; the traceback is in the log and nowhere else."""
    return problem(
        500, "internal_error", "Internal error", "The server failed. The error is in its log under this request id."
    )
