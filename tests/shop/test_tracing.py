"""Traces, where OTEL_EXPORTER_OTLP_ENDPOINT names a collector: here one that keeps what it is sent."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from benchmarks import ROOT, free_port, production_server
from tests import factories
from tests.conftest import environment, wait_until
from users import resets


@pytest.fixture
def collector() -> Iterator[tuple[str, list]]:
    spans: list = []

    class Keep(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"])))
            service = {a.key: a.value.string_value for r in body.resource_spans for a in r.resource.attributes}
            assert service["service.name"] == "shop"
            spans.extend(span for r in body.resource_spans for s in r.scope_spans for span in s.spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Keep)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", spans
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_request_and_its_statements_are_in_the_callers_trace(database, collector):
    endpoint, spans = collector
    product = factories.product(stock=5)
    given = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_BSP_SCHEDULE_DELAY": "100"}
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    with production_server(DATABASE_URL=environment()["DATABASE_URL"], **given) as base:
        headers = {"traceparent": f"00-{trace_id}-b7ad6b7169203331-01"}
        answer = httpx.get(f"{base}/api/v1/inventory/check?product_id={product.id}", headers=headers)
        wait_until(lambda: any(span.trace_id.hex() == trace_id and span.kind == 2 for span in spans), seconds=10)

    ours = [span for span in spans if span.trace_id.hex() == trace_id]
    (request,) = [span for span in ours if span.parent_span_id.hex() == "b7ad6b7169203331"]
    told = {a.key: a.value.string_value or a.value.int_value for a in request.attributes}
    assert request.name == "GET api/v1/inventory/check"
    assert told["http.response.status_code"] == 200
    assert told["shop.request_id"] == answer.headers["x-request-id"]
    (statement,) = [span for span in ours if span.parent_span_id == request.span_id]
    text = {a.key: a.value.string_value for a in statement.attributes}["db.query.text"]
    assert text.startswith("WITH overdue AS")
    assert "%s" in text  # and not what was asked for


def test_a_job_and_its_statements_are_a_trace_and_a_failure_is_seen(database, collector):
    endpoint, spans = collector
    resets.want_password_reset(email=factories.user().email)
    nobody = f"smtp://127.0.0.1:{free_port()}"
    given = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "EMAIL_URL": nobody}
    subprocess.run(
        [sys.executable, "manage.py", "work", "--once"], cwd=ROOT, env={**environment(), **given}, check=True
    )

    (job,) = [span for span in spans if span.name == "clear_attempts"]
    assert {a.key for a in job.attributes} == {"shop.job_id"}
    (statement,) = [span for span in spans if span.parent_span_id == job.span_id]
    assert statement.name == "DELETE"
    assert statement.trace_id == job.trace_id
    failed = {span.name for span in spans if span.kind == Span.SPAN_KIND_CONSUMER and span.status.code == 2}
    assert failed == {"send_mails"}


def test_an_error_of_the_database_is_no_customers_data_in_a_trace(database, collector):
    """Its text quotes the row: the address that is taken, or all of what was ordered."""
    endpoint, spans = collector
    taken = factories.user(email="anna@example.com")
    given = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_BSP_SCHEDULE_DELAY": "100"}
    with production_server(DATABASE_URL=environment()["DATABASE_URL"], **given) as base:
        body = {"email": taken.email, "password": "nine lives of a cat", "name": "Anna"}
        assert httpx.post(f"{base}/api/v1/users", json=body).status_code == 409
        wait_until(lambda: any(span.name == "POST api/v1/users" for span in spans), seconds=10)

    assert "anna" not in str(spans)
    assert any(a.key == "error.type" for span in spans for a in span.attributes)
