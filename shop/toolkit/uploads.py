"""Files that clients send and get: uploads on disk with a limit, downloads from it."""

from collections.abc import Callable, Mapping
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

from django.conf import settings
from django.core.files.uploadhandler import TemporaryFileUploadHandler
from django.http import FileResponse
from rest_framework.exceptions import APIException, ParseError, ValidationError
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import DataAndFiles, MultiPartParser
from rest_framework.renderers import JSONRenderer


class UploadTooLarge(APIException):
    status_code = 413
    default_code = "payload_too_large"

    def __init__(self) -> None:
        super().__init__(
            f"An upload may have at most {settings.MAX_UPLOAD_BYTES:,} bytes; split it, or pack it (gzip)."
        )


class UploadParser(MultiPartParser):
    """A form with a file. It is refused by the length it tells, before any of it is read, and kept on disk."""

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> "DataAndFiles[Any, Any]":
        assert parser_context is not None, "REST framework always tells the context"
        request = parser_context["request"]
        if int(request.META.get("CONTENT_LENGTH") or 0) > settings.MAX_UPLOAD_BYTES:
            raise UploadTooLarge
        request.upload_handlers = [TemporaryFileUploadHandler(request)]
        try:
            parsed = super().parse(stream, media_type, parser_context)
        except ParseError as error:
            raise ValidationError({"non_field_errors": [str(error)]}, code="malformed_form") from error
        repeated = [name for part in (parsed.data, parsed.files) for name, given in part.lists() if len(given) > 1]
        if repeated:
            for file in chain.from_iterable(given for _, given in parsed.files.lists()):
                file.close()
            raise ValidationError({name: ["Give this field once."] for name in repeated}, code="repeated")
        return parsed


class AnyAnswer(BaseContentNegotiation):
    """For files: they are what they are, whatever the client would rather have."""

    def select_parser(self, request: Any, parsers: Any) -> Any:
        return parsers[0]

    def select_renderer(self, request: Any, renderers: Any, format_suffix: Any = None) -> Any:
        return JSONRenderer(), JSONRenderer.media_type


CONTENT_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


class Download(FileResponse):
    """A file that `write` makes on disk before the first byte is sent: what ends early is an error, not half a file.

    The connection to the database is not kept waiting for a slow client either.
    """

    def __init__(self, name: str, kind: str, write: Callable[[Path], object]) -> None:
        folder = TemporaryDirectory(prefix="shop-download-")
        try:
            path = Path(folder.name) / "file"
            write(path)
            super().__init__(path.open("rb"), as_attachment=True, filename=f"{name}.{kind}")
        except BaseException:
            folder.cleanup()
            raise
        self.headers["Content-Type"] = CONTENT_TYPES[kind]
        # An open file is still there when its name is not.
        folder.cleanup()
