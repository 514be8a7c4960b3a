"""Stock from files and into files."""

from functools import partial
from pathlib import Path
from typing import Any, cast
from uuid import UUID

from django.conf import settings
from django.http import HttpResponse, QueryDict
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from inventory.imports import documents, export, staging, steps
from inventory.imports.shapes import ExportQuery, ImportShape, UploadShape
from shop.toolkit.files.sheets import fingerprint, write_sheet
from shop.toolkit.http.permissions import caller_of, staff_with
from shop.toolkit.http.schema import answers, paged
from shop.toolkit.http.shapes import EmptyShape, PageQuery
from shop.toolkit.http.uploads import AnyAnswer, Download, UploadParser
from shop.toolkit.http.views import ApiView
from shop.toolkit.ids import new_id


class ImportListView(ApiView):
    access = {"GET": [staff_with("inventory.view_stockimport")], "POST": [staff_with("inventory.add_stockimport")]}
    query_shapes = {"GET": PageQuery}
    parser_classes = [UploadParser]

    @extend_schema(parameters=[PageQuery], responses=answers(200, paged(ImportShape)))
    def get(self, request: Request) -> HttpResponse:
        """List stock imports, newest first."""
        return self.page(documents.list_imports(page=self.parameters["page"], caller=caller_of(request)), ImportShape)

    @extend_schema(
        request={"multipart/form-data": UploadShape},
        responses=answers(201, ImportShape, "not_found", "warehouse_not_found", "already_imported", later=ImportShape),
    )
    def post(self, request: Request) -> HttpResponse:
        """Load stock from a file, or report what it would change (`dry_run`). A large file is answered 202.

        The file is CSV, CSV in gzip, or .xlsx. Its layout is the shop's own, Shopify's, or any other with a `map`.
        `refused_rows` lists the refused rows; `/errors` returns them as a file of the same layout. When `status` is
        `refused`, nothing was written. More than 1,000 rows are applied after the answer: request the import until
        `finished_at` is set.
        """
        given = UploadShape.read(self.form)
        file = given.pop("file")
        load = partial(
            steps.load_import,
            staging.ImportRequest(file_name=file.name, mapping=given.pop("map", {}), **given),
            import_id=new_id(),
            path=Path(file.temporary_file_path()),
            limits=staging.FileLimits.of_upload(settings.MAX_UPLOAD_BYTES),
            caller=caller_of(request),
        )
        return self.command(
            load, shape=ImportShape, status=_created, may_see=lambda kept: see_import(request, kept.get("id"))
        )

    @property
    def form(self) -> dict[str, Any]:
        # A plain dict: of a QueryDict, REST framework would take a missing flag for false.
        return dict(cast("QueryDict", self.request.data).items())

    def fingerprinted(self) -> Any:
        return {**self.form, "file": fingerprint(Path(self.form["file"].temporary_file_path()))}


def see_import(request: Request, import_id: UUID | str | None) -> None:
    """Refuse a caller who does not see this import; None names none. Raises ImportNotFound."""
    if import_id is not None:
        documents.get_import(UUID(str(import_id)), caller=caller_of(request))


def _created(document: documents.StockImport) -> int:
    return 201 if document.is_finished else 202


class ImportView(ApiView):
    access = {"GET": [staff_with("inventory.view_stockimport")]}

    @extend_schema(responses=answers(200, ImportShape))
    def get(self, request: Request, import_id: UUID) -> HttpResponse:
        """Get a stock import: its progress, its result and its first errors."""
        return self.answer(documents.get_import(import_id, caller=caller_of(request)), ImportShape)


class ImportErrorsView(ApiView):
    access = {"GET": [staff_with("inventory.view_stockimport")]}
    content_negotiation_class = AnyAnswer

    @extend_schema(responses=answers((200, "text/csv"), OpenApiTypes.STR))
    def get(self, request: Request, import_id: UUID) -> Download:
        """Get the refused rows as CSV in the layout of the file, each with its error, to correct and load again."""
        columns, rows = documents.refused_sheet(import_id, caller=caller_of(request))
        return Download(f"{import_id}-errors", "csv", lambda path: write_sheet(path, "csv", columns, rows))


class ImportUndoView(ApiView):
    access = {"POST": [staff_with("inventory.undo_stockimport")]}

    @extend_schema(request=None, responses=answers(200, ImportShape, "invalid_transition", later=ImportShape))
    def post(self, request: Request, import_id: UUID) -> HttpResponse:
        """Undo an import by one compensating import (`undone_by`). A large one is answered 202.

        A row whose units were sold or promised since is refused; the others are undone.
        """
        self.body(EmptyShape)
        undo = partial(steps.undo_at_once, import_id, undo_id=new_id(), caller=caller_of(request))
        return self.command(
            undo,
            shape=ImportShape,
            status=lambda document: 200 if document.is_finished else 202,
            may_see=lambda kept: see_import(request, import_id),
        )


class StockCsvView(ApiView):
    access = {"GET": [staff_with("inventory.view_stock")]}
    query_shapes = {"GET": ExportQuery}
    content_negotiation_class = AnyAnswer

    @extend_schema(
        parameters=[ExportQuery], responses=answers((200, "text/csv"), OpenApiTypes.STR, "warehouse_not_found")
    )
    def get(self, request: Request) -> Download:
        """Export the stock as CSV. Edit the quantities and import the file."""
        write = partial(export.export_stock, kind="csv", **self.parameters, caller=caller_of(request))
        return Download("stock", "csv", write)


class StockXlsxView(ApiView):
    access = {"GET": [staff_with("inventory.view_stock")]}
    query_shapes = {"GET": ExportQuery}
    content_negotiation_class = AnyAnswer

    @extend_schema(
        parameters=[ExportQuery],
        responses=answers(
            (200, "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
            OpenApiTypes.BINARY, "warehouse_not_found",
        ),
    )  # fmt: skip
    def get(self, request: Request) -> Download:
        """Export the stock as a workbook. Edit the quantities and import the file."""
        write = partial(export.export_stock, kind="xlsx", **self.parameters, caller=caller_of(request))
        return Download("stock", "xlsx", write)
