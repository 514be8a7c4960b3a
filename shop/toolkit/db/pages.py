"""Keyset pages: a cursor names the last row seen, so that page 10,000 costs what page 1 costs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from django.core import signing
from django.db.models import Field, Model, Q, QuerySet

from shop.toolkit.refusals import InvalidCursor

DEFAULT_SIZE = 50
MAX_SIZE = 200
MAX_PARTS = 2000  # of the rows of one page, such as lines of orders

M = TypeVar("M", bound=Model)
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class PageRequest:
    """Which page of a list: the cursor of an earlier page (None: the first) and at most how many rows."""

    cursor: str | None = None
    size: int = DEFAULT_SIZE


@dataclass(frozen=True)
class Page(Generic[T]):
    """One page and the cursors of its neighbors, None where there is none."""

    results: list[T]
    next: str | None
    previous: str | None

    def map(self, change: Callable[[T], R]) -> "Page[R]":
        return Page([change(result) for result in self.results], self.next, self.previous)


def page_of(
    rows: "QuerySet[M]",
    *,
    order: Sequence[str],
    request: PageRequest,
    parts: Callable[[Sequence[M]], Mapping[Any, int]] | None = None,
) -> Page[M]:
    """Return one page of `rows` by `order`: field names, "-" for descending, the last one unique.

    `parts` tells by primary key of how many parts each row is made, such as an order of lines: a page ends early, after
    one row at least, before it has more than MAX_PARTS. Raises InvalidCursor when the cursor was not issued for this
    order.
    """
    name = [rows.model._meta.label, *order]  # a cursor is good for one list in one order
    backwards, position = _read_cursor(request.cursor, name)
    effective = [_flipped(name) for name in order] if backwards else list(order)
    rows = rows.order_by(*effective)
    if position:
        rows = rows.filter(_after(rows.model, effective, position))
    found = list(rows[: request.size + 1])
    fitting = request.size if parts is None else min(request.size, _fitting(found, parts(found)))
    more, found = len(found) > fitting, found[:fitting]
    if backwards:
        found.reverse()
    has_next = more if not backwards else True
    has_previous = more if backwards else request.cursor is not None
    return Page(
        results=found,
        next=_write_cursor(found[-1], name, backwards=False) if found and has_next else None,
        previous=_write_cursor(found[0], name, backwards=True) if found and has_previous else None,
    )


def _fitting(rows: Sequence[Model], parts: Mapping[Any, int]) -> int:
    """Return how many of the first rows have MAX_PARTS together, at least one."""
    total = 0
    for place, row in enumerate(rows):
        total += parts.get(row.pk, 0)
        if total > MAX_PARTS:
            return max(1, place)
    return len(rows)


def _flipped(name: str) -> str:
    return name.removeprefix("-") if name.startswith("-") else f"-{name}"


def _after(model: type[Model], order: Sequence[str], position: Sequence[str]) -> Q:
    """Return the condition for rows behind `position`: (a, b) > (x, y) as a > x OR (a = x AND b > y)."""
    condition, equal = Q(), Q()
    for name, text in zip(order, position, strict=True):
        field = name.removeprefix("-")
        value = _value(model, field, text)
        comparison = "lt" if name.startswith("-") else "gt"
        condition |= equal & Q(**{f"{field}__{comparison}": value})
        equal &= Q(**{field: value})
    # The redundant bound on the first column lets the planner start in the index instead of filtering all of it.
    first = order[0].removeprefix("-")
    value = _value(model, first, position[0])
    return Q(**{f"{first}__{'lte' if order[0].startswith('-') else 'gte'}": value}) & condition


def _value(model: type[Model], name: str, text: str) -> Any:
    field = model._meta.get_field(name)
    assert isinstance(field, Field), "pages are ordered by columns"
    return field.to_python(text)


def _write_cursor(row: Model, name: Sequence[str], *, backwards: bool) -> str:
    _, *order = name
    values = [_as_text(getattr(row, column.removeprefix("-"))) for column in order]
    # Signed: whatever comes back was written here, so no hostile value ever reaches a query.
    return signing.dumps([backwards, name, values], salt="page")


def _as_text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _read_cursor(cursor: str | None, name: Sequence[str]) -> tuple[bool, list[str]]:
    if cursor is None:
        return False, []
    try:
        backwards, cursor_name, values = signing.loads(cursor, salt="page")
    except signing.BadSignature as error:
        raise InvalidCursor from error
    if cursor_name != list(name):
        raise InvalidCursor
    return backwards, values
