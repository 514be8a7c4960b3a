"""Strict building blocks for the JSON shapes of all apps: what is not understood is refused, never guessed."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache, cached_property, partial
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from shop.toolkit.db.pages import DEFAULT_SIZE, MAX_SIZE, PageRequest
from shop.toolkit.money import DECIMAL_PLACES, EXPONENTS, MAX_DIGITS

MAX_UNITS = 1_000_000  # asked for in one line
MAX_ID = 2**63 - 1

# ASCII digits only: \d would take full-width digits, and int() would take " 7 " and "1_000".
_INTEGER = re.compile(r"-?[0-9]{1,19}")
WHOLE_DIGITS = MAX_DIGITS - DECIMAL_PLACES
_AMOUNT = re.compile(rf"[0-9]{{1,{WHOLE_DIGITS}}}(\.[0-9]{{1,{DECIMAL_PLACES}}})?")
# Of currencies with three decimals, and with two; those without any have no fractions to be off by.
_MINOR_UNITS = (Decimal("0.001"), Decimal("0.01"))


# Services hand out what these write; a test holds every answer against the document.
_AS_THEY_ARE = (serializers.IntegerField, serializers.CharField, serializers.BooleanField)


class Shape(serializers.Serializer[Any]):
    """A JSON object that refuses fields it does not name."""

    @classmethod
    def read(cls, data: Any) -> dict[str, Any]:
        """Return what is in `data`, validated. Raises ValidationError naming each wrong field."""
        return dict(_kept(cls).run_validation(data))

    @classmethod
    def write(cls, value: Any) -> dict[str, Any]:
        """Return `value` as what JSON is made of."""
        written: dict[str, Any] = _kept(cls).to_representation(value)
        return written

    def to_representation(self, instance: Any) -> dict[str, Any]:
        of = instance.__getitem__ if isinstance(instance, Mapping) else partial(getattr, instance)
        written = {}
        for name, attribute, represent in self._columns:
            value = of(name) if attribute is None else attribute(instance)
            written[name] = value if value is None or represent is None else represent(value)
        return written

    @cached_property
    def _columns(self) -> list[tuple[str, Callable[[Any], Any] | None, Callable[[Any], Any] | None]]:
        """Return of each field its name, how to find its value where that bears another name, and how it is written
        where that is not as it is: services hand out numbers where the document says so."""
        return [
            (
                name,
                None if field.source == name else field.get_attribute,
                None if type(field) in _AS_THEY_ARE else field.to_representation,
            )
            for name, field in self.fields.items()
        ]

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            unknown = [name for name in data if name not in self.fields]
            if unknown:
                known = ", ".join(name for name, field in self.fields.items() if not field.read_only) or "none"
                message = f"This field is not known here. Known: {known}."
                raise serializers.ValidationError({name: [message] for name in unknown}, code="unknown_field")
        return super().to_internal_value(data)


@cache
def _kept(shape: type[Shape]) -> Shape:
    """Return the one instance of a shape, which all requests share: making one costs more than to use it.

    `run_validation` and `to_representation` keep nothing in it, and no shape of ours may.
    """
    return shape()


def many(
    shape: type[Shape], *, at_least: int, at_most: int, required: bool = True
) -> "serializers.ListSerializer[Any]":
    """Return a list of `shape`, from `at_least` to `at_most` long; it may be left out when it may be empty."""
    if at_least == 0:
        return serializers.ListSerializer(child=shape(), max_length=at_most, default=list)
    return serializers.ListSerializer(
        child=shape(), min_length=at_least, max_length=at_most, required=required, allow_empty=False
    )


class EmptyShape(Shape):
    """For requests that carry nothing."""


class StrictInteger(serializers.IntegerField):
    """A JSON integer: not 1.0, not "1", not true. In a query string, its ASCII digits."""

    default_error_messages = {"not_integer": "A whole number is needed, written as a JSON integer."}

    def to_internal_value(self, data: Any) -> int:
        in_query = isinstance(self.root, PageQuery | QueryShape) and isinstance(data, str) and _INTEGER.fullmatch(data)
        if not in_query and type(data) is not int:
            self.fail("not_integer")
        return int(data)

    def run_validation(self, data: Any = serializers.empty) -> Any:
        # What is right, in an order of 100 lines 200 numbers, needs no list of validators; what is not is told by them.
        lowest, highest = self.min_value, self.max_value
        if type(data) is int and lowest is not None and highest is not None and lowest <= data <= highest:
            return data
        return super().run_validation(data)


# RFC 3339, with an offset. Python would read a date alone as its midnight, and much else.
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


class Time(serializers.DateTimeField):
    """A moment: written in UTC, read with its offset from UTC."""

    default_error_messages = {
        "not_a_time": "A time with its offset is needed, such as 2026-11-28T17:30:00Z (a + is written %2B in a URL).",
        "a_day": "A day has many moments. Send one with its offset, such as {day}T23:59:59Z.",
    }

    def to_representation(self, value: datetime) -> str:
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")

    def to_internal_value(self, value: Any) -> datetime:
        if isinstance(value, str) and _DAY.fullmatch(value):
            self.fail("a_day", day=value)
        return self._moment(value)

    def _moment(self, value: Any) -> datetime:
        try:
            if isinstance(value, str) and _MOMENT.fullmatch(value):
                return datetime.fromisoformat(value.upper()).astimezone(UTC)
        except (ValueError, OverflowError):  # no such day, or outside of all calendars
            pass
        self.fail("not_a_time")
        raise AssertionError("unreachable: fail raises")


@extend_schema_field({"anyOf": [{"type": "string", "format": "date-time"}, {"type": "string", "format": "date"}]})
class TimeBound(Time):
    """A bound of a time filter: a moment, or a day, which is taken whole, in the shop's time zone.

    `of_day` says which moment of the day the bound is.
    """

    def __init__(self, *, of_day: Callable[[date], datetime], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._of_day = of_day

    def to_internal_value(self, value: Any) -> datetime:
        if not (isinstance(value, str) and _DAY.fullmatch(value)):
            return self._moment(value)
        try:
            return self._of_day(date.fromisoformat(value)).astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail("not_a_time")
            raise AssertionError("unreachable: fail raises") from None


class PageQuery(Shape):
    """The query parameters that every list takes."""

    cursor = serializers.CharField(required=False, help_text="From `next` or `previous` of an earlier page.")
    page_size = StrictInteger(required=False, min_value=1, max_value=MAX_SIZE, help_text=f"{DEFAULT_SIZE} when absent.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        request = PageRequest(cursor=attrs.pop("cursor", None), size=attrs.pop("page_size", DEFAULT_SIZE))
        return {**attrs, "page": request}


class QueryShape(Shape):
    """Query parameters of a request that is not a list, or the fields of a form: all of them are text."""


class Units(StrictInteger):
    """A number of units asked for: 1 to 1,000,000."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(min_value=1, max_value=MAX_UNITS, **kwargs)


class Id(StrictInteger):
    """An integer id."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(min_value=1, max_value=MAX_ID, **kwargs)


class Text(serializers.CharField):
    """A JSON string; a number or a boolean is not turned into one."""

    default_error_messages = {"not_string": "A JSON string is needed."}

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("not_string")
        return super().to_internal_value(data)


# As Python's libraries write a flag in forms and query strings, too.
_FLAGS = {"true": True, "True": True, "false": False, "False": False}


class Flag(serializers.BooleanField):
    """A JSON boolean; in a query string or a form, `true` or `false`, or Python's `True` or `False`."""

    default_error_messages = {"not_boolean": "true or false is needed."}

    def to_internal_value(self, data: Any) -> bool:
        if isinstance(self.root, PageQuery | QueryShape):
            data = _FLAGS.get(data)
        if not isinstance(data, bool):
            self.fail("not_boolean")
        return data


class Amount(serializers.DecimalField):
    """An amount of money: a decimal string such as "9.90", or a JSON number; written as a string.

    Most programs compute JSON numbers as binary fractions: 3 x 9.9 is 29.700000000000003. A number is taken for the
    amount that is within a millionth of a minor unit. A string is taken as it is.
    """

    default_error_messages = {
        "not_amount": f'An amount such as "9.90" is needed: at most {WHOLE_DIGITS} digits before the '
        f"point and {DECIMAL_PLACES} after it, no sign, no exponent."
    }

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_digits=MAX_DIGITS, decimal_places=DECIMAL_PLACES, **kwargs)

    def to_internal_value(self, data: Any) -> Decimal:
        if type(data) in (int, Decimal):
            return self._nearest(Decimal(data))
        if not isinstance(data, str) or not _AMOUNT.fullmatch(data):
            self.fail("not_amount")
        return Decimal(data)

    def _nearest(self, number: Decimal) -> Decimal:
        if number.is_finite() and not number.is_signed() and number.adjusted() < WHOLE_DIGITS:
            for unit in _MINOR_UNITS:
                nearest = number.quantize(unit)
                if number == nearest:
                    return Decimal(format(number, "f"))
                if abs(number - nearest) <= unit / 1_000_000:
                    return nearest
        self.fail("not_amount")
        raise AssertionError("unreachable: fail raises")

    def to_representation(self, value: Decimal) -> str:
        # Services hand out amounts in the currency's minor unit; the decimals they have are the ones to write.
        return format(value, "f")


class CurrencyCode(Text):
    """An ISO 4217 code."""

    default_error_messages = {"not_currency": "An ISO 4217 currency code such as EUR is needed."}

    def to_internal_value(self, data: Any) -> str:
        code = super().to_internal_value(data)
        if code not in EXPONENTS:
            self.fail("not_currency")
        return code
