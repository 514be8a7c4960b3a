"""The OpenAPI document, served."""

from functools import cache
from typing import Any

from django.http import HttpResponse
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.views import SpectacularAPIView
from rest_framework.permissions import AllowAny
from rest_framework.request import Request

from shop.toolkit.http.views import ApiView


class DocumentView(ApiView):
    """The document itself, in YAML or JSON as `Accept` says."""

    access = {"GET": [AllowAny]}
    authentication_classes = ()
    renderer_classes = SpectacularAPIView.renderer_classes
    schema = None  # it does not tell of itself

    def get(self, request: Request) -> HttpResponse:
        renderer: Any = type(request.accepted_renderer)
        return HttpResponse(_rendered(renderer), content_type=renderer.media_type)


@cache
def _rendered(renderer: Any) -> bytes:
    """Return the document, which is the same for everybody and takes a third of a second to make."""
    made = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    rendered: bytes = renderer().render(made, renderer_context={})
    return rendered
