"""Short forms for the OpenAPI annotations of the views."""

from functools import cache
from typing import Any

from drf_spectacular.utils import inline_serializer
from rest_framework import serializers
from rest_framework.serializers import Serializer


class Answers(dict[Any, Any]):
    """The successes of an operation, and the codes that it refuses with beside those that any may (shop/schema.py)."""

    codes: tuple[str, ...] = ()


def answers(status: int | tuple[int, str], shape: Any, *codes: str, later: Any = None) -> Answers:
    """Return the `responses` of one operation: success (with a media type if not JSON) and the codes of its refusals.

    `later` is the shape of a 202, where an operation may end after its answer.
    """
    found = Answers({status: shape} if later is None else {status: shape, 202: later})
    found.codes = codes
    return found


@cache
def paged(shape: type[Serializer[Any]]) -> Serializer[Any]:
    """Return the shape of a page of `shape`."""
    return inline_serializer(
        name=f"{shape.__name__.removesuffix('Shape')}Page",
        fields={
            "next": serializers.URLField(allow_null=True),
            "previous": serializers.URLField(allow_null=True),
            "results": shape(many=True),
        },
    )
