"""Files that clients send and get: uploads on disk with a limit, downloads from it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory
from typing import IO, Any, cast

from django.conf import settings
from django.core.files.uploadedfile import TemporaryUploadedFile
from django.core.files.uploadhandler import TemporaryFileUploadHandler
from django.http import FileResponse
from django.utils.http import parse_header_parameters
from rest_framework.exceptions import APIException, ParseError, ValidationError
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import DataAndFiles, MultiPartParser
from rest_framework.renderers import JSONRenderer

from shop.toolkit.http.middleware import content_length


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
        if content_length(request) > settings.MAX_UPLOAD_BYTES:
            raise UploadTooLarge
        request.upload_handlers = [TemporaryFileUploadHandler(request)]
        watched = _Watched(stream)
        try:
            parsed = super().parse(cast("IO[Any]", watched), media_type, parser_context)
        except ParseError as error:
            raise ValidationError({"non_field_errors": [str(error)]}, code="malformed_form") from error
        # A form that was cut off after its file would be taken without the options behind it.
        if not watched.ended_with(request.content_type):
            _close(parsed.files)
            said = "The form ends before its last boundary. Send all of it, with its Content-Length."
            raise ValidationError({"non_field_errors": [said]}, code="malformed_form")
        repeated = [name for part in (parsed.data, parsed.files) for name, given in part.lists() if len(given) > 1]
        if repeated:
            _close(parsed.files)
            raise ValidationError({name: ["Give this field once."] for name in repeated}, code="repeated")
        return parsed


@contextmanager
def on_disk(file: Any) -> Iterator[Path]:
    """Yield the path of an uploaded file, which a form may have left in memory."""
    if isinstance(file, TemporaryUploadedFile):
        yield Path(file.temporary_file_path())
        return
    with NamedTemporaryFile() as copy:
        for chunk in file.chunks():
            copy.write(chunk)
        copy.flush()
        yield Path(copy.name)


class _Watched:
    """A stream that remembers its end."""

    def __init__(self, stream: IO[Any]) -> None:
        self._stream, self._end = stream, b""

    def read(self, size: int = -1) -> bytes:
        block: bytes = self._stream.read(size)
        self._end = (self._end + block)[-1000:]
        return block

    def ended_with(self, content_type: str | None) -> bool:
        """Tell whether the last boundary of the form has come, once the rest was read."""
        while self.read(1 << 16):
            pass
        boundary = parse_header_parameters(content_type or "")[1].get("boundary", "")
        return f"--{boundary}--".encode() in self._end


def _close(files: Any) -> None:
    for file in chain.from_iterable(given for _, given in files.lists()):
        file.close()


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
