"""Request bodies, read from the network before the request may take a place of `concurrency`.

The server's body object blocks its thread until as many bytes have come as were asked for, for as long as the client
likes. So whoever sends slowly holds a thread that is cheap, and nobody's turn.
"""

from collections.abc import Callable, Iterable
from io import BytesIO
from tempfile import SpooledTemporaryFile
from threading import BoundedSemaphore
from typing import IO, Any

from django.conf import settings
from django.http import HttpResponse

from shop.toolkit.http.problems import problem

MAX_BODY_BYTES = 256 * 1024  # of JSON; a longer form waits on disk
FORM_BYTES = 1 << 20  # of the other fields of a form with a file, and of what is between them
MAX_LONG_BODIES = 8  # of a process at once: each may take as much disk as the largest upload
BLOCK_BYTES = 64 * 1024
NOTHING = (None, "", "0")
FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]


class BodyCutOff(Exception):
    """The client sent less than it announced: what is there may read as a smaller number."""


def max_form_bytes() -> int:
    """Return the length of the longest form that is read: a file and the fields beside it."""
    return int(settings.MAX_UPLOAD_BYTES) + FORM_BYTES


def read_length(told: str | None) -> int:
    """Return the length that a request tells of its body; 0 where it tells none that is a number."""
    return int(told) if told and told.isascii() and told.isdigit() else 0


def read_bodies_first(application: Application) -> Application:
    """Give `application` each body whole, in memory or on disk; no more of it than is taken.

    A chunked body gets the length that Django asks for; without one it would be read as empty. A body that ends before
    its Content-Length is answered 400; more than MAX_LONG_BODIES long ones at once, 429.
    """
    most = max_form_bytes()
    long_bodies = BoundedSemaphore(MAX_LONG_BODIES)

    def wrapped(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        told = environ.get("CONTENT_LENGTH")
        if told in NOTHING and "HTTP_TRANSFER_ENCODING" not in environ:
            return application(environ, start_response)
        length = read_length(told)
        if length <= MAX_BODY_BYTES or not _is_form(environ):
            try:
                environ["wsgi.input"] = _in_memory(environ, length)
            except BodyCutOff:
                return _answer(_cut_off(), start_response)
            return application(environ, start_response)
        if length > most:
            environ["wsgi.input"] = BytesIO()  # it is refused by its length
            return application(environ, start_response)
        if not long_bodies.acquire(blocking=False):
            return _answer(_too_many(), start_response)
        try:
            with SpooledTemporaryFile(max_size=MAX_BODY_BYTES) as file:
                _copy(environ["wsgi.input"], file, length)
                environ["wsgi.input"] = file
                return application(environ, start_response)
        except BodyCutOff:
            return _answer(_cut_off(), start_response)
        finally:
            long_bodies.release()

    return wrapped


def _is_form(environ: Environ) -> bool:
    return str(environ.get("CONTENT_TYPE", "")).strip().lower().startswith(FORMS)


def _in_memory(environ: Environ, length: int) -> BytesIO:
    """Return the body, or its beginning with one byte more than is taken, so that the parser refuses it."""
    at_most = MAX_BODY_BYTES + 1
    if not length and "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower():
        body = environ["wsgi.input"].read(at_most)
        environ["CONTENT_LENGTH"] = str(len(body))
        return BytesIO(body)
    expected = min(length, at_most)
    body = environ["wsgi.input"].read(expected) if expected else b""
    if len(body) < expected:
        raise BodyCutOff
    return BytesIO(body)


def _copy(stream: IO[bytes], file: IO[bytes], length: int) -> None:
    missing = length
    while missing:
        block = stream.read(min(missing, BLOCK_BYTES))
        if not block:
            raise BodyCutOff
        file.write(block)
        missing -= len(block)
    file.seek(0)


def _cut_off() -> HttpResponse:
    said = "The body is shorter than its Content-Length. Send all of it."
    return problem(400, "invalid", "Invalid request", said, members={"errors": []})


def _too_many() -> HttpResponse:
    said = f"{MAX_LONG_BODIES} uploads are on their way already. Try again in a few seconds."
    return problem(429, "throttled", "Too many requests", said, headers={"Retry-After": "5"})


def _answer(response: HttpResponse, start_response: StartResponse) -> list[bytes]:
    start_response(f"{response.status_code} {response.reason_phrase}", list(response.items()))
    return [response.content]
