"""Short forms for the OpenAPI annotations of the views."""

import re
from functools import cache
from typing import Any

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import inline_serializer
from rest_framework import serializers
from rest_framework.serializers import Serializer

from shop.toolkit.problems import CONTENT_TYPE, ProblemShape

# What any request may meet, so it is not repeated view by view.
ALWAYS = (406, 503)


def answers(status: int | tuple[int, str], shape: Any, *problems: int) -> dict[Any, Any]:
    """Return the `responses` of one operation: success (with a media type if not JSON) and what it refuses with."""
    refusals = {(problem, CONTENT_TYPE): ProblemShape for problem in (*problems, *ALWAYS)}
    return {status: shape, **refusals}


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
