"""Request bodies that do not tell their length, and how long a body may be."""

from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any

MAX_BODY_BYTES = 256 * 1024

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def with_length(application: Application) -> Application:
    """Give a chunked request body the length that Django asks for; without one it would be read as empty."""

    def wrapped(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower() and not environ.get("CONTENT_LENGTH"):
            # One byte more than the API takes, so that the parser refuses it; uploads tell their length.
            body = environ["wsgi.input"].read(MAX_BODY_BYTES + 1)
            environ["wsgi.input"], environ["CONTENT_LENGTH"] = BytesIO(body), str(len(body))
        return application(environ, start_response)

    return wrapped
