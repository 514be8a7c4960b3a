"""Traces for OpenTelemetry: a span for each request and job, and one in it for each statement. Loaded only where
OTEL_EXPORTER_OTLP_ENDPOINT says where they go; the other OTEL_ variables are the SDK's own."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from django.db import connections
from django.http import HttpRequest, HttpResponse
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.propagate import extract
from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from procrastinate import JobContext
from procrastinate.worker import Worker
from structlog.contextvars import bound_contextvars

tracer = trace.get_tracer("shop")


def trace_requests(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Trace each request, as a part of the caller's trace where the caller names one (W3C traceparent)."""
    _start()

    def middleware(request: HttpRequest) -> HttpResponse:
        with _traced(str(request.method), trace.SpanKind.SERVER, extract(request.headers)) as span:
            response = get_response(request)
            route = request.resolver_match.route if request.resolver_match else ""
            span.update_name(f"{request.method} {route}".strip())
            span.set_attributes(
                {
                    "http.request.method": str(request.method),
                    "http.route": route,
                    "http.response.status_code": response.status_code,
                    "shop.request_id": response.headers.get("X-Request-ID", ""),
                }
            )
            if response.status_code >= 500:
                span.set_status(trace.StatusCode.ERROR)
            return response

    return middleware


def trace_jobs() -> Callable[[Callable[[], Any], JobContext, Worker], Any]:
    """Return what traces each job of a worker (`manage.py work`); a job is a trace of its own."""
    _start()

    def middleware(call_next: Callable[[], Any], context: JobContext, worker: Worker) -> Any:
        with _traced(context.job.task_name, trace.SpanKind.CONSUMER) as span:
            span.set_attribute("shop.job_id", context.job.id or 0)
            return call_next()

    return middleware


@contextmanager
def _traced(name: str, kind: trace.SpanKind, caller: Context | None = None) -> Iterator[trace.Span]:
    """Trace what the body does, with its statements, and have its lines of the log say which trace that is."""
    with _span(name, kind, caller) as span, ExitStack() as stack:
        for alias in connections:
            stack.enter_context(connections[alias].execute_wrapper(_trace_statement))
        trace_id = trace.format_trace_id(span.get_span_context().trace_id)
        stack.enter_context(bound_contextvars(trace_id=trace_id))
        yield span


def _start() -> None:
    """Send what is traced from here on; in each process that serves, after it was forked."""
    resource = Resource.create({SERVICE_NAME: "shop"}).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)


def _trace_statement(
    execute: Callable[..., Any], statement: str, parameters: Any, many: bool, context: dict[str, Any]
) -> Any:
    """Trace one statement, without its parameters: they are the customers'."""
    words = " ".join(statement.split())
    with _span(words.partition(" ")[0], trace.SpanKind.CLIENT) as span:
        span.set_attributes({"db.system.name": "postgresql", "db.query.text": words})
        return execute(statement, parameters, many, context)


@contextmanager
def _span(name: str, kind: trace.SpanKind, caller: Context | None = None) -> Iterator[trace.Span]:
    """Of an error tell the kind alone: one of the database quotes the row, such as whose address it is."""
    with tracer.start_as_current_span(
        name, caller, kind=kind, record_exception=False, set_status_on_exception=False
    ) as span:
        try:
            yield span
        except Exception as error:
            span.set_status(trace.StatusCode.ERROR)
            span.set_attribute("error.type", type(error).__name__)
            raise
