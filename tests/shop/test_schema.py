"""The OpenAPI document is linted, its examples are what it describes, and the server takes those that are requests."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from shop import schema as rules
from tests import factories
from tests.conformance import document

OPERATIONS = [
    (method, path, operation) for path, found in document()["paths"].items() for method, operation in found.items()
]
NAMES = [f"{method} {path}" for method, path, _ in OPERATIONS]


def plain(value: Any) -> Any:
    """Return a part of the document as JSON has it."""
    return json.loads(json.dumps(value, default=str))


WHOLE = plain(document())


def faults(schema: Any, value: Any) -> list[str]:
    whole = {**schema, "components": WHOLE["components"]}
    validator = jsonschema.Draft202012Validator(whole, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)
    return [error.message for error in validator.iter_errors(value)]


def test_the_document_is_openapi_3_1():
    assert document()["openapi"].startswith("3.1")
    assert [error.message for error in OpenAPIV31SpecValidator(WHOLE).iter_errors()] == []


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS, ids=NAMES)
def test_an_operation_tells_all_that_a_client_needs(method, path, operation):
    assert operation["summary"]
    assert not operation["summary"].endswith(".")
    assert operation["tags"]
    assert all("description" in answer for answer in operation["responses"].values())
    assert all("schema" in parameter for parameter in operation.get("parameters", ()))
    successes = [status for status in operation["responses"] if status.startswith("2")]
    assert successes
    refusals = {status for status in operation["responses"] if status.startswith(("4", "5"))}
    assert {"400", "406", "429", "503"} <= refusals
    for name in rules.HEADERS:
        assert all(name in answer["headers"] for answer in operation["responses"].values())


def test_operations_have_names_of_their_own():
    names = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert len(names) == len(set(names)) == len(OPERATIONS)


def contents() -> list[Any]:
    found = []
    for method, path, operation in OPERATIONS:
        bodies = {"request": operation.get("requestBody", {}), **operation["responses"]}
        found += [
            pytest.param(content, id=f"{method} {path} {which} {kind}")
            for which, body in bodies.items()
            for kind, content in body.get("content", {}).items()
        ]
    return found


@pytest.mark.parametrize("content", contents())
def test_an_example_is_what_its_schema_says(content):
    examples = [content["example"]] if "example" in content else [one["value"] for one in content["examples"].values()]
    assert examples
    for example in plain(examples):
        assert faults(plain(content["schema"]), example) == []


def test_parameters_have_examples_that_their_schemas_take():
    for _, _, operation in OPERATIONS:
        for parameter in operation.get("parameters", ()):
            assert faults(plain(parameter["schema"]), plain(parameter["example"])) == []


ALTERNATIVES = ("allOf", "oneOf", "anyOf")


def places(part: Any, where: str = "#") -> Iterator[tuple[str, Any]]:
    """Yield each schema that stands for a value of its own, with its place: components, parameters, headers, bodies and
    answers, and every property and item in them."""
    if isinstance(part, list):
        for index, inner in enumerate(part):
            yield from places(inner, f"{where}/{index}")
    elif isinstance(part, dict):
        for name, inner in part.items():
            is_named = where.endswith(("/properties", "/components/schemas"))
            if isinstance(inner, dict) and (is_named or name in ("schema", "items", "additionalProperties")):
                yield f"{where}/{name}", inner
            yield from places(inner, f"{where}/{name}")


def told(schema: Any) -> Iterator[tuple[str, Any]]:
    """Yield the defaults and examples of one value; one that stands in an alternative is the whole value's."""
    if "default" in schema:
        yield "default", schema["default"]
    examples = [schema["example"]] if "example" in schema else []
    yield from (("example", example) for example in [*examples, *schema.get("examples", ())])
    for inner in (found for kind in ALTERNATIVES for found in schema.get(kind, ())):
        yield from told(inner)


PLACES = list(places({"components": WHOLE["components"], "paths": WHOLE["paths"]}))


def test_a_default_is_a_value_that_its_schema_takes():
    found = [(where, kind, value, schema) for where, schema in PLACES for kind, value in told(schema)]
    assert len([kind for _, kind, *_ in found if kind == "default"]) > 10
    assert len([kind for _, kind, *_ in found if kind == "example"]) > 10
    wrong = [(where, kind, value, faults(schema, value)) for where, kind, value, schema in found]
    assert [row for row in wrong if row[-1]] == []


def test_of_alternatives_exactly_one_takes_a_value():
    """Where two do, `oneOf` takes none: an empty note would be refused by whoever checks it before it is sent."""
    overlapping = [
        (where, value)
        for where, schema in PLACES
        for value in ("", "text", "MUG", 0, True, None, [], {})
        if sum(not faults(one, value) for one in schema.get("oneOf", ())) > 1
    ]
    assert overlapping == []


JSON = [
    pytest.param(method, path, operation, id=f"{method} {path}")
    for method, path, operation in OPERATIONS
    if "application/json" in operation.get("requestBody", {}).get("content", {})
]


@pytest.mark.parametrize(("method", "path", "operation"), JSON)
def test_an_example_of_a_request_is_taken_for_what_it_is(staff, method, path, operation):
    """What it names may not be there, but nothing of it is malformed."""
    factories.product(sku="OTHER", stock=100)
    body = plain(operation["requestBody"]["content"]["application/json"]["example"])
    for parameter in operation.get("parameters", ()):
        path = path.replace(f"{{{parameter['name']}}}", str(parameter["example"]))
    answer = getattr(staff, method)(path, body)
    refused = answer.json().get("errors", [{}])[0].get("code") if answer.status_code == 400 else ""
    assert refused in ("", "invalid_token"), answer.content  # of a token, only its form can be right


def test_every_code_of_the_errors_page_is_in_the_document():
    page = (Path(__file__).resolve().parents[2] / "docs" / "errors.md").read_text()
    rows = re.findall(r"^\| \d{3} \| ([^|]+)", page, re.MULTILINE)
    listed = {code for row in rows for code in re.findall("`(.+?)`", row)}
    used = {
        code
        for _, _, operation in OPERATIONS
        for answer in operation["responses"].values()
        for code in answer.get("content", {}).get("application/problem+json", {}).get("examples", {})
    }
    # Of no operation: a bug; another method; a form of the staff's screens.
    assert listed - used == {"internal_error", "method_not_allowed", "csrf_failed"}
    assert used <= listed
