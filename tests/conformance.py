"""Whatever the tests are answered must be what the OpenAPI document says: its status, its code, its shape."""

import json
import re
from functools import cache
from typing import Any

import jsonschema
from django.http import HttpResponse
from django.urls import Resolver404
from drf_spectacular.generators import SchemaGenerator

PROBLEM = "application/problem+json"


@cache
def document() -> dict[str, Any]:
    found: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)
    return found


def check(method: str, response: HttpResponse) -> None:
    """Hold an answer of the API against the operation that gave it."""
    try:
        route = response.resolver_match.route
    except (Resolver404, AttributeError):  # no such path; refused before any path was looked for
        return
    path = "/" + re.sub(r"<\w+:(\w+)>", r"{\1}", route)
    operation = document()["paths"].get(path, {}).get(method.lower())
    if operation is None or response.status_code in (405, 500):
        return  # no operation of the API; and no bug is documented
    where = f"{method} {path} -> {response.status_code}"
    assert str(response.status_code) in operation["responses"], f"{where} is not documented"
    kind = response.headers.get("Content-Type", "").partition(";")[0]
    contents = operation["responses"][str(response.status_code)].get("content", {})
    assert kind in contents or not (kind or contents), f"{where} answers {kind}"
    if kind.endswith("json"):
        body = json.loads(response.content)
        errors = list(_validator(path, method.lower(), str(response.status_code), kind).iter_errors(body))
        assert not errors, f"{where}: {errors[0].message} at {errors[0].json_path}"
    if kind == PROBLEM:
        assert body["code"] in contents[PROBLEM]["examples"], f"{where}: the code {body['code']} is not documented"


@cache
def _validator(path: str, method: str, status: str, kind: str) -> jsonschema.Draft202012Validator:
    schema = document()["paths"][path][method]["responses"][status]["content"][kind]["schema"]
    whole = {**schema, "components": document()["components"]}
    return jsonschema.Draft202012Validator(whole, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)


def problem_of(response: HttpResponse, status: int, code: str) -> dict[str, Any]:
    """Return the problem that an answer must be."""
    assert response.status_code == status, response.content
    assert response.headers["content-type"] == PROBLEM, response.headers
    problem: dict[str, Any] = json.loads(response.content)
    assert {"type", "title", "status", "detail", "code"} <= set(problem), problem
    assert (problem["status"], problem["code"], problem["type"]) == (status, code, f"urn:problem:{code}"), problem
    assert problem["detail"], problem
    return problem
