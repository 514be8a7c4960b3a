"""A JSON parser that takes what RFC 8259 calls interoperable, and says what is wrong with the rest."""

import json
import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import IO, Any

from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import BaseParser

from shop.toolkit.http.request_bodies import MAX_BODY_BYTES

MAX_DEPTH = 20
MAX_NUMBER_DIGITS = 40  # far above any unit or price; Python's own limit would be an error of another kind

TOO_DEEP = f"The body is nested deeper than {MAX_DEPTH} levels."
_STRANGE_NUMBER = re.compile(rf"[0-9.]{{{MAX_NUMBER_DIGITS}}}|[0-9][eE]")
_SURROGATE = re.compile("[\ud800-\udfff]")


class PayloadTooLarge(APIException):
    status_code = 413
    default_code = "payload_too_large"
    default_detail = f"A request body may have at most {MAX_BODY_BYTES} bytes."


class StrictJSONParser(BaseParser):
    """Refuses duplicate keys, NaN, deep nesting, lone surrogates and large bodies; keeps decimals exact."""

    media_type = "application/json"

    def parse(
        self, stream: IO[bytes], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        # One byte more than allowed is enough to know.
        raw = stream.read(MAX_BODY_BYTES + 1)
        if len(raw) > MAX_BODY_BYTES:
            raise PayloadTooLarge
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ParseError(f"The body is not UTF-8: byte {error.start}.") from error
        try:
            # Almost no body has a number that needs a second look, which would cost a call for each of them.
            hooks = _CAREFUL if _STRANGE_NUMBER.search(text) else _PLAIN
            parsed = json.loads(text, object_pairs_hook=unique_keys, parse_constant=_no_constant, **hooks)
            _check_values(parsed)
        except RecursionError as error:
            raise ParseError(TOO_DEEP) from error
        except ValueError as error:
            raise ParseError(f"The body is not valid JSON: {error}.") from error
        return parsed


def _check_values(parsed: Any) -> None:
    """Refuse what JSON can write and no field can hold: deep nesting, half of a surrogate pair."""
    level, depth = [parsed], 0
    while level:
        containers = [value for value in level if isinstance(value, dict | list)]
        texts = [value for value in level if isinstance(value, str)]
        texts += [key for value in containers if isinstance(value, dict) for key in value]
        if any(not text.isascii() and _SURROGATE.search(text) for text in texts):
            raise ValueError("half of a surrogate pair is no character")
        level = [inner for value in containers for inner in (value.values() if isinstance(value, dict) else value)]
        depth += bool(containers)
        if depth > MAX_DEPTH:
            raise ParseError(TOO_DEEP)


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object. Raises ValueError when it has a key twice: which of them counts?"""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"the key {name!r} is there twice")
        found[name] = value
    return found


def _decimal(text: str) -> Decimal:
    _check_digits(text)
    try:
        number = Decimal(text)
    except InvalidOperation as error:
        raise ValueError("a number has an exponent out of all bounds") from error
    # 1e999999 is short to write and long to write out.
    if abs(number.adjusted()) > MAX_NUMBER_DIGITS:
        raise ValueError(f"a number has more than {MAX_NUMBER_DIGITS} digits")
    return number


def _integer(text: str) -> int:
    _check_digits(text)
    return int(text)


def _check_digits(text: str) -> None:
    if len(text) > MAX_NUMBER_DIGITS:
        raise ValueError(f"a number has more than {MAX_NUMBER_DIGITS} digits")


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is no JSON number")


_CAREFUL: dict[str, Any] = {"parse_int": _integer, "parse_float": _decimal}
_PLAIN: dict[str, Any] = {"parse_float": Decimal}
