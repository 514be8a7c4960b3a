"""The base of every API view: parse, call one service, answer."""

import json
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, ClassVar, TypeVar

from django.http import HttpResponse
from rest_framework.exceptions import APIException, MethodNotAllowed, Throttled, ValidationError
from rest_framework.permissions import BasePermission
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.utils.urls import replace_query_param
from rest_framework.views import APIView

from shop.toolkit.callers import Stranger
from shop.toolkit.db import transactions
from shop.toolkit.db.pages import Page
from shop.toolkit.http import idempotency, throttling
from shop.toolkit.http.permissions import caller_of
from shop.toolkit.http.shapes import EmptyShape, Shape
from shop.toolkit.refusals import Refusal

RENDERER = JSONRenderer()
# What nearly every client accepts; for whatever else, REST framework finds out what that means.
TAKES_JSON = frozenset({"*/*", "application/json", "application/json, text/plain, */*"})
NOTHING = idempotency.Kept(204, b"", "")
Status = int | Callable[[Any], int]
T = TypeVar("T")


class ApiView(APIView):
    """One URL. Names who may call each method and which query parameters it takes; others are refused."""

    http_method_names = ("get", "head", "post", "patch", "delete")
    access: ClassVar[dict[str, Sequence[type[BasePermission]]]] = {}
    keeps_answers = True  # for an Idempotency-Key; false where nothing is written, or where the answer is a secret
    query_shapes: ClassVar[dict[str, type[Shape]]] = {}

    quota: throttling.Quota | None = None

    def perform_authentication(self, request: Request) -> None:
        """Find out who calls, and count the request: what is refused for its token or its rights is counted too."""
        try:
            super().perform_authentication(request)
        except APIException:
            self._count(request, None)
            raise
        self._count(request, request.user)

    def _count(self, request: Request, user: Any) -> None:
        self.quota = throttling.use_quota(request, user)
        if self.quota and self.quota.is_used_up:
            raise Throttled(self.quota.seconds_left)

    # REST framework would find out with every request which methods a view has; only a 405 must tell.
    default_response_headers: ClassVar[dict[str, str]] = {}

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Add the quota's header fields. No answer of ours is a Response of REST framework, which is rendered here."""
        for name, value in self.quota.headers().items() if self.quota else ():
            response.headers[name] = value
        if response.status_code == 405:
            response.headers["Allow"] = ", ".join(self.allowed_methods)
        return response

    def get_permissions(self) -> list[Any]:
        return [permission() for permission in self.access[self._method]]

    def perform_content_negotiation(self, request: Request, force: bool = False) -> tuple[Any, str]:
        if request.META.get("HTTP_ACCEPT", "*/*") in TAKES_JSON:
            return RENDERER, RENDERER.media_type
        found: tuple[Any, str] = super().perform_content_negotiation(request, force)
        return found

    @cached_property
    def _method(self) -> str:
        return "GET" if self.request.method == "HEAD" else str(self.request.method)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        if self._method not in self.access:
            # For everybody, before anybody is asked who they are or what they want of it.
            raise MethodNotAllowed(str(request.method))
        super().initial(request, *args, **kwargs)
        self.parameters = self._read_query(request)

    def _read_query(self, request: Request) -> dict[str, Any]:
        repeated = [name for name, values in request.query_params.lists() if len(values) > 1]
        if repeated:
            raise ValidationError({name: ["Give this parameter once."] for name in repeated}, code="repeated")
        return self.query_shapes.get(self._method, EmptyShape).read(request.query_params.dict())

    def body(self, shape: type[Shape]) -> dict[str, Any]:
        """Return the validated request body. Raises ValidationError naming each wrong field."""
        return shape.read(self.request.data)

    def command(
        self,
        work: Callable[[], Any],
        *,
        shape: type[Shape] | None = None,
        status: Status = 200,
        may_see: Callable[[Any], object] | None = None,
    ) -> HttpResponse:
        """Run `work` in one transaction; answer with its result, or with 204, only once that is committed.

        `status` may depend on the result. With an Idempotency-Key, a request that was answered before is answered the
        same, and nothing is done. `may_see` gets such an answer first and raises the refusal that a caller gets who may
        no longer see it: which rows and warehouses are theirs can change while a key is kept.
        """
        key = self.request.META.get(idempotency.META)
        if key is None:
            return _answered(transactions.run(lambda: _rendered(work(), shape, status)))
        scope = self._scope(key)
        try:
            response = transactions.run(lambda: _once(scope, lambda: _rendered(work(), shape, status)))
        except (Refusal, APIException) as refusal:
            response = self._keep_refusal(scope, refusal)
        if may_see and response.content and idempotency.REPLAYED in response.headers:
            may_see(json.loads(response.content))
        return response

    def prepared_command(
        self,
        prepare: Callable[[], T],
        work: Callable[[T], Any],
        *,
        shape: type[Shape] | None = None,
        status: Status = 200,
    ) -> HttpResponse:
        """Run `prepare` outside of any transaction, then `work` on its result as a command.

        For what takes long, or must stay when the answer is a refusal. Where the Idempotency-Key has its answer
        already, neither is run; a refusal of `prepare` is not kept.
        """
        key = self.request.META.get(idempotency.META)
        if key is not None and (kept := idempotency.find(self._scope(key))):
            return _replayed(kept)
        prepared = prepare()
        return self.command(lambda: work(prepared), shape=shape, status=status)

    def _scope(self, key: str) -> idempotency.Scope:
        return idempotency.scope_of(
            owner=caller_of(self.request) if self.request.user.pk else Stranger(),
            endpoint=f"{self.request.method} {self.request.path}",
            key=key,
            body=self.fingerprinted(),
        )

    def fingerprinted(self) -> Any:
        """Return what of the body tells twins from requests that merely have the same Idempotency-Key."""
        return self.request.data

    def _keep_refusal(self, scope: idempotency.Scope, refusal: Exception) -> HttpResponse:
        """Keep a definite refusal too. The work is undone by now; if a twin came first meanwhile, its answer counts."""
        response = self.handle_exception(refusal)
        about_the_key = isinstance(refusal, idempotency.KeyReused | idempotency.InProgress)
        if about_the_key or not 400 <= response.status_code < 500:
            return response
        kept = idempotency.Kept(response.status_code, response.content, response.headers["Content-Type"])
        first = transactions.run(lambda: idempotency.claim(scope, kept))
        return _replayed(first) if first else _answered(kept)

    def answer(self, result: Any, shape: type[Shape]) -> HttpResponse:
        """Answer with one thing."""
        return _answered(_json(shape.write(result)))

    def nothing(self) -> HttpResponse:
        """Answer that it is done, and that there is nothing to say."""
        return _answered(NOTHING)

    def page(self, page: Page[Any], shape: type[Shape]) -> HttpResponse:
        """Answer with one page of a list."""
        return _answered(
            _json(
                {
                    "next": self._page_url(page.next),
                    "previous": self._page_url(page.previous),
                    "results": [shape.write(result) for result in page.results],
                }
            )
        )

    def _page_url(self, cursor: str | None) -> str | None:
        return cursor and replace_query_param(self.request.build_absolute_uri(), "cursor", cursor)


def _rendered(result: Any, shape: type[Shape] | None, status: Status) -> idempotency.Kept:
    """Render inside the transaction: what is kept and what is sent are the same bytes."""
    if shape is None:
        return NOTHING
    status = status if isinstance(status, int) else status(result)
    return _json(shape.write(result), status)


# Not REST framework's Response, which is a template that is rendered later.
def _json(data: Any, status: int = 200) -> idempotency.Kept:
    return idempotency.Kept(status, RENDERER.render(data), RENDERER.media_type)


def _once(scope: idempotency.Scope, work: Callable[[], idempotency.Kept]) -> HttpResponse:
    if kept := idempotency.claim(scope):
        return _replayed(kept)
    answer = work()
    idempotency.keep(scope, answer)
    return _answered(answer)


def _replayed(kept: idempotency.Kept) -> HttpResponse:
    response = _answered(kept)
    response.headers[idempotency.REPLAYED] = "true"
    return response


def _answered(answer: idempotency.Kept) -> HttpResponse:
    response = HttpResponse(answer.body, status=answer.status, content_type=answer.content_type)
    if answer.status == 204:
        del response.headers["Content-Type"]
    return response
