"""The OpenAPI document: each operation with every code that it may refuse with, and an example of everything."""

import re
from collections.abc import Iterable
from typing import Any, cast

from django.core.validators import RegexValidator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import DJANGO_PATH_CONVERTER_MAPPING  # type: ignore[attr-defined]
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.serializers import CharField, ListSerializer

from shop import answers
from shop.toolkit.http import idempotency
from shop.toolkit.http.parsers import StrictJSONParser
from shop.toolkit.http.problems import CONTENT_TYPE, ProblemShape
from shop.toolkit.http.shapes import Amount, CurrencyCode, QueryShape, Shape, Text
from shop.toolkit.http.views import ApiView
from shop.toolkit.money import DECIMAL_PLACES, EXPONENTS, MAX_DIGITS

UNSAFE = ("POST", "PATCH", "DELETE")
STATUS = {
    **{code: kind.status_code for kind, (code, _) in answers.FRAMEWORK.items() if hasattr(kind, "status_code")},
    **{answer.code: answer.status for answer in answers.REFUSALS.values()},
    "stock_busy": 503,
    "database_unavailable": 503,
}
TITLES = {
    **dict(answers.FRAMEWORK.values()),
    **{answer.code: answer.title for answer in answers.REFUSALS.values()},
    "stock_busy": "Stock busy",
    "database_unavailable": "Database unavailable",
}
HEADERS = {
    "RateLimit-Policy": 'The quota, where one is set: `"user";q=600;w=60` is 600 requests in 60 seconds.',
    "RateLimit": "What is left of it: `r` requests for `t` seconds.",
    "X-Request-ID": "What the request is called in our log.",
}

# What an example has in a field of this name, where the field's own type does not say enough.
BY_NAME: dict[str, Any] = {
    "sku": "MUG", "name": "Stoneware mug", "description": "Holds 0.3 litres.", "price": "9.90", "unit_price": "9.90",
    "total_price": "19.80", "total": "19.80", "currency": "EUR", "warehouse": "MAIN", "from_warehouse": "MAIN",
    "to_warehouse": "EAST", "code": "MAIN", "email": "anna@example.com", "password": "nine lives of a cat",
    "current_password": "eight lives of a cat",
    "number": "261122-IJJ22-Q5QBJ", "payment_reference": "pay_123", "reason": "found", "note": "shelf 4",
    "reference": "DN-7", "access": "eyJhbGciOiJIUzI1NiJ9.access.signature",
    "refresh": "eyJhbGciOiJIUzI1NiJ9.refresh.signature", "token": "7.c1z2-0123456789abcdef", "otp_code": "123456",
    "next": "https://shop.example/api/v1/products?cursor=eyJ", "previous": None, "quantity": 2, "on_hand": 50,
    "available": 48, "available_quantity": 48, "requested": 2, "priority": 100, "mode": "set", "owner": "orders",
    "expected": "9.90", "actual": "10.90", "cursor": "eyJhbGciOiJ", "page_size": "50", "ordering": "sku",
    "search": "mug", "kind": "receive", "state": "held", "status": "pending", "file_name": "levels.csv",
    "user_id": 7, "actor_id": 7, "id": 1, "product_id": 1, "expected_on_hand": 48, "on_hand_delta": 2, "seq": 1,
    "ttl_seconds": 900, "Idempotency-Key": "8f14e45f-ceea-467f-a0e6-0b5c3f0f7d11", "file": "(the file)",
}  # fmt: skip
BY_FORMAT: dict[str, Any] = {
    "uuid": "01931f6e-2f4a-7cc0-9a51-0a5c3f0f7d11",
    "date-time": "2026-11-22T12:00:00Z",
    "email": "anna@example.com",
    "uri": "https://shop.example/",
    "binary": "(the file)",
}
BY_TYPE: dict[str, Any] = {"integer": 0, "number": 0, "boolean": True, "string": "text"}
WHOLE, TEXT = {"type": "integer"}, {"type": "string"}
TEXT_OR_NULL = {"type": ["string", "null"]}


def _list_of(**fields: Any) -> dict[str, Any]:
    return {"type": "array", "items": {"type": "object", "properties": fields, "required": list(fields)}}


# What a problem has beside its head, each for the codes that docs/errors.md names.
MEMBERS: dict[str, Any] = {
    "shortages": _list_of(product_id=WHOLE, requested=WHOLE, available=WHOLE),
    "price_changes": _list_of(product_id=WHOLE, expected=TEXT, actual=TEXT_OR_NULL, currency=TEXT),
    "promises": _list_of(
        reservation_id=TEXT, reference=TEXT, state=TEXT, product_id=WHOLE, warehouse=TEXT, quantity=WHOLE,
        expires_at={"type": ["string", "null"], "format": "date-time"}, is_overdue={"type": "boolean"},
    ),
    "product_ids": {"type": "array", "items": WHOLE},
    "warehouses": {"type": "array", "items": TEXT},
    "current": WHOLE,
    "current_status": TEXT,
    "limit": WHOLE,
    "held": WHOLE,
    "import_id": {"type": ["string", "null"], "format": "uuid"},
    "owner": TEXT,
    "sku": TEXT,
}  # fmt: skip
FIELD_ERROR = {"field": "items.0.quantity", "code": "min_value", "detail": "At least 1 is needed."}


DJANGO_PATH_CONVERTER_MAPPING["id"] = OpenApiTypes.INT  # shop/toolkit/http/converters.py

# No NUL; and where blank is refused, something that is no space.
TEXT_OR_NONE, SOME_TEXT = r"^[^\u0000]*$", r"^[^\u0000]*[^\s\u0000][^\u0000]*$"
AMOUNT = rf"^[0-9]{{1,{MAX_DIGITS - DECIMAL_PLACES}}}(\.[0-9]{{1,{DECIMAL_PLACES}}})?$"


def _described(schema: dict[str, Any]) -> dict[str, Any]:
    return {name: schema[name] for name in ("description", "readOnly", "writeOnly", "default") if name in schema}


class OperationSchema(AutoSchema):
    """Names operations as the views are named (`order_confirm`), and titles them by their docstrings."""

    def get_operation(self, *args: Any, **kwargs: Any) -> Any:
        operation = super().get_operation(*args, **kwargs)
        if operation:
            title, _, more = operation.pop("description", "").partition("\n")
            operation = {"summary": title.rstrip("."), **operation}
            if more.strip():
                operation["description"] = more.strip()
        return operation

    def get_operation_id(self) -> str:
        name = re.sub(r"(?<!^)(?=[A-Z])", "_", type(self.view).__name__.removesuffix("View")).lower()
        if self.method == "POST":
            return name.replace("_list", "_create")
        verb = {"GET": "retrieve", "PATCH": "update", "DELETE": "delete"}[self.method]
        return name if name.endswith("_list") else f"{name}_{verb}"

    def get_serializer_name(self, serializer: Any, direction: Any) -> str:
        name: str = super().get_serializer_name(serializer, direction)
        return name.removesuffix("Shape")

    def _map_serializer_field(self, field: Any, direction: Any, *args: Any, **kwargs: Any) -> Any:
        """Say what the generator does not know of our fields: how long lists are, and which texts are refused."""
        schema: dict[str, Any] = super()._map_serializer_field(field, direction, *args, **kwargs)  # type: ignore[no-untyped-call]
        if direction != "request":
            return schema
        if isinstance(field, ListSerializer):
            limits = {"minItems": getattr(field, "min_length", None), "maxItems": getattr(field, "max_length", None)}
            return {**schema, **{name: limit for name, limit in limits.items() if limit is not None}}
        if isinstance(field, Amount):
            return {"type": "string", "pattern": AMOUNT, **_described(schema)}
        if isinstance(field, CurrencyCode):
            return {"type": "string", "enum": sorted(EXPONENTS), **_described(schema)}
        for validator in (found for found in field.validators if isinstance(found, RegexValidator)):
            schema["pattern"] = re.compile(validator.regex).pattern.replace(r"\A", "^").replace(r"\Z", "$")
        if type(field) in (Text, CharField) and schema.get("type") == "string":
            return {"pattern": TEXT_OR_NONE if field.allow_blank else SOME_TEXT, **schema}
        return schema

    def _insert_field_validators(self, field: Any, schema: dict[str, Any]) -> None:
        """Describe a text that may be blank by its pattern alone, which takes the empty text: the generator adds an
        alternative for that, and `oneOf` refuses what two alternatives take."""
        super()._insert_field_validators(field, schema)  # type: ignore[no-untyped-call]
        text = schema.get("oneOf", [{}])[0]
        if text.get("pattern") == TEXT_OR_NONE:
            del schema["oneOf"]
            schema.update(text)

    def get_override_parameters(self) -> list[Any]:
        given: list[Any] = super().get_override_parameters()
        return [*given, IDEMPOTENCY_KEY] if self._keeps_answers() else given

    def _keeps_answers(self) -> bool:
        return self.method in UNSAFE and getattr(self.view, "keeps_answers", False)

    def _get_response_bodies(self, *args: Any, **kwargs: Any) -> Any:
        bodies = super()._get_response_bodies(*args, **kwargs)
        problem = self.resolve_serializer(ProblemShape, "response").ref
        codes = sorted({*self._codes_of_any(), *getattr(self.get_response_serializers(), "codes", ())})
        for status in sorted({STATUS[code] for code in codes}):
            bodies[str(status)] = _refusal(problem, [code for code in codes if STATUS[code] == status])
        for body in bodies.values():
            body["headers"] = {name: _header(said) for name, said in HEADERS.items()} | body.get("headers", {})
        return bodies

    def _codes_of_any(self) -> Iterable[str]:
        """Yield the codes that follow from what the view is: who may call it, and what it reads."""
        yield from ("invalid", "not_acceptable", "throttled", "stock_busy", "database_unavailable")
        access = cast("ApiView", self.view).access[self.method]
        if self.view.authentication_classes:
            yield "invalid_token"
        if AllowAny not in access:
            yield "not_authenticated"
        if not {AllowAny, IsAuthenticated} & set(access):
            yield "permission_denied"
        if "{" in self.path:
            yield "not_found"
        if self.method in UNSAFE:
            yield from ("payload_too_large", "unsupported_media_type")
            if StrictJSONParser in self.view.parser_classes:
                yield "malformed_json"
        if self._keeps_answers():
            yield from ("request_in_progress", "idempotency_key_reused")


IDEMPOTENCY_KEY = OpenApiParameter(
    idempotency.HEADER,
    {"type": "string", "pattern": r"^[\x21-\x7e]{1,255}$"},
    OpenApiParameter.HEADER,
    description="1 to 255 visible ASCII characters. The same key and body get the first answer again, for a day.",
)


def _header(said: str) -> dict[str, Any]:
    return {"description": said, "schema": {"type": "string"}}


def _refusal(problem: Any, codes: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "description": ", ".join(f"`{code}`" for code in codes),
        "content": {CONTENT_TYPE: {"schema": problem, "examples": {code: {"value": _problem(code)} for code in codes}}},
    }
    if {"throttled", "stock_busy", "busy"} & set(codes):
        found["headers"] = {"Retry-After": _header("Seconds after which to try again.")}
    if {"invalid_token", "not_authenticated", "invalid_credentials", "otp_required"} & set(codes):
        found["headers"] = {"WWW-Authenticate": _header("`Bearer`")}
    return found


def _problem(code: str) -> dict[str, Any]:
    head = {"type": f"urn:problem:{code}", "title": TITLES[code], "status": STATUS[code], "detail": f"{TITLES[code]}."}
    facts = {"errors": [FIELD_ERROR]} if code == "invalid" else {}
    return {**head, "code": code, "request_id": BY_FORMAT["uuid"], **facts}


def complete(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Say what holds for all components, and give every request body, answer and parameter an example built from its
    schema. A hook of the generator, which has all of them by now."""
    schemas = result["components"]["schemas"]
    operations = [operation for path in result["paths"].values() for operation in path.values()]
    for schema in schemas.values():
        if schema.get("description") in (Shape.__doc__, QueryShape.__doc__):
            del schema["description"]  # inherited, and of no use to a client
    schemas["Problem"]["properties"] |= MEMBERS
    # Named, but not closed: a client must not break at the first code that comes later.
    schemas["Problem"]["properties"]["code"]["examples"] = sorted(STATUS)
    _close(schemas, operations)
    for operation in operations:
        for parameter in operation.get("parameters", ()):
            parameter["example"] = example(parameter["schema"], schemas, parameter["name"])
        _free_empty_bodies(operation, schemas)
        contents = [operation.get("requestBody", {}), *operation["responses"].values()]
        for content in (found for body in contents for found in body.get("content", {}).values()):
            if "examples" not in content:
                content["example"] = example(content["schema"], schemas)
    return result


def _free_empty_bodies(operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    """A body none of whose fields is needed may be left out."""
    body = operation.get("requestBody", {"content": {}})
    for content in body["content"].values():
        schema = schemas.get(content["schema"].get("$ref", "").rpartition("/")[2], content["schema"])
        if not schema.get("required"):
            body["required"] = False


def _close(schemas: dict[str, Any], operations: list[dict[str, Any]]) -> None:
    """Say of every object of a request that further fields are refused."""
    contents = [
        found for operation in operations for found in operation.get("requestBody", {}).get("content", {}).values()
    ]
    left, seen = [content["schema"] for content in contents], set()
    while left:
        schema = left.pop()
        name = schema.get("$ref", "").rpartition("/")[2]
        if name and name not in seen:
            seen.add(name)
            left.append(schemas[name])
        if "properties" in schema:
            schema["additionalProperties"] = False
        inner = [*schema.get("properties", {}).values(), schema.get("items", {})]
        left += [found for found in (*inner, *schema.get("allOf", ()), *schema.get("oneOf", ())) if found]


def example(schema: dict[str, Any], schemas: dict[str, Any], name: str = "") -> Any:
    """Return a value that a schema allows, as it would look in a shop."""
    if "$ref" in schema:
        return example(schemas[schema["$ref"].rpartition("/")[2]], schemas, name)
    for inner in (*schema.get("allOf", ()), *schema.get("oneOf", ()), *schema.get("anyOf", ())):
        if inner.get("type") != "null" and inner.get("enum") != [None]:
            return example(inner, schemas, name)
    kinds = schema.get("type", "object")
    kind = next(found for found in (kinds if isinstance(kinds, list) else [kinds]) if found != "null")
    if kind == "object":
        return {inner: example(found, schemas, inner) for inner, found in schema.get("properties", {}).items()}
    if kind == "array":
        return [example(schema["items"], schemas, name)]
    return _scalar(schema, kind, name)


def _scalar(schema: dict[str, Any], kind: str, name: str) -> Any:
    found = BY_NAME.get(name)
    if "enum" in schema:
        return found if found in schema["enum"] else schema["enum"][0]
    if schema.get("format") in BY_FORMAT and kind == "string":
        return BY_FORMAT[schema["format"]]
    if type(found).__name__ == {"integer": "int", "boolean": "bool", "string": "str"}.get(kind):
        return found
    return schema.get("default", schema.get("minimum", BY_TYPE[kind]))
