"""Imports: load a file, look at what it would change, approve it, take it back."""

from functools import partial
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.core.files.uploadedfile import UploadedFile
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.views.generic import View
from unfold.decorators import display
from unfold.widgets import (
    UnfoldAdminFileFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from inventory.imports import documents, export, models, staging, steps
from inventory.imports.documents import seen_by
from inventory.imports.vocabulary import ImportStatus
from inventory.stock.admin.pages import WarehouseField, WarehousesPage
from inventory.stock.limits import MAX_NOTE
from shop.toolkit.callers import SYSTEM
from shop.toolkit.files.sheets import write_sheet
from shop.toolkit.http.permissions import caller_of
from shop.toolkit.http.uploads import Download, on_disk
from shop.toolkit.ids import new_id
from shop.toolkit.staff.admin import AdminPage, ListPage, OfList, ReadOnlyAdmin, ServicePage, button

MODES = [
    ("set", "What is on hand"),
    ("adjust", "What is to be added"),
    ("count", "What was counted"),
]

REFRESH_SECONDS = 3
# What the page of an import says while a worker has it.
UNDER_WAY = {
    "staged": "The rows are being checked. Nothing is written yet.",
    "applying": "The rows are being written.",
    "aborting": "A row became wrong while the file was written. What was written is being taken back.",
    "undoing": "The import is being taken back.",
}


class UploadForm(forms.Form):
    file = forms.FileField(
        label="File",
        help_text="CSV, CSV in gzip, or .xlsx: sku and quantity, or what Shopify exports.",
        widget=UnfoldAdminFileFieldWidget,
    )
    mode = forms.ChoiceField(label="The quantities are", choices=MODES, widget=UnfoldAdminSelectWidget)
    warehouse = WarehouseField(label="Warehouse", required=False)
    skip = forms.BooleanField(
        label="Leave out refused rows", required=False, help_text="Else one refused row refuses the file.",
        widget=UnfoldBooleanSwitchWidget,
    )  # fmt: skip
    again = forms.BooleanField(
        label="Load it again", required=False, help_text="Although the same file was loaded before.",
        widget=UnfoldBooleanSwitchWidget,
    )  # fmt: skip
    note = forms.CharField(label="Note", max_length=MAX_NOTE, required=False, widget=UnfoldAdminTextInputWidget)

    def clean_file(self) -> UploadedFile:
        file: UploadedFile = self.cleaned_data["file"]
        if (file.size or 0) > settings.MAX_UPLOAD_BYTES:
            raise forms.ValidationError(f"At most {settings.MAX_UPLOAD_BYTES:,} bytes are taken; split it, or pack it.")
        return file


class UploadPage(WarehousesPage, ListPage):
    """Reads and checks a file; nothing is written before somebody has seen what would change."""

    permission_required = ("inventory.view_stockimport", "inventory.add_stockimport")
    form_class = UploadForm
    slug, label, icon, submit = "upload", "Load a file", "upload", "Check it"

    def act(self, given: dict[str, Any]) -> str:
        file = given["file"]
        request = staging.ImportRequest(
            file_name=file.name or "file",
            mode=given["mode"],
            on_error="skip" if given["skip"] else "abort",
            dry_run=True,
            review=True,
            again=given["again"],
            warehouse=given["warehouse"] or None,
            note=given["note"],
        )
        limits = staging.FileLimits.of_upload(settings.MAX_UPLOAD_BYTES)
        with on_disk(file) as path:
            document = steps.load_import(request, import_id=new_id(), path=path, limits=limits, caller=self.caller)
        self.made = models.StockImport.objects.get(pk=document.id)
        if document.is_finished:
            return f"Checked {document.rows:,} rows; nothing is written yet."
        return f"{document.rows:,} rows are being checked; nothing is written yet. This page shows when it is done."

    def done_at(self) -> str:
        return self.address("change", self.history_object().pk)


class ApprovePage(ServicePage):
    permission_required = ("inventory.view_stockimport", "inventory.add_stockimport")
    form_class = forms.Form
    slug, label, icon, submit = "approve", "Write these changes", "check", "Write them"

    @classmethod
    def leads_on(cls, row: models.StockImport, user: Any) -> bool:
        waits = row.is_reviewed and row.status == ImportStatus.CHECKED
        return waits and (row.skips_refused or not row.refused)

    def act(self, given: dict[str, Any]) -> str:
        document = steps.approve_at_once(self.row.pk, caller=self.caller)
        if document.status == "refused":
            return f"Nothing was written: {document.refused:,} rows are refused as the stock is now."
        return "Written." if document.is_finished else f"{document.rows:,} rows are being written."


class UndoPage(ServicePage):
    permission_required = ("inventory.view_stockimport", "inventory.undo_stockimport")
    form_class = forms.Form
    slug, label, icon = "undo", "Take it back", "undo"

    @classmethod
    def leads_on(cls, row: models.StockImport, user: Any) -> bool:
        return row.undoes_id is None and row.status == ImportStatus.APPLIED

    def act(self, given: dict[str, Any]) -> str:
        document = steps.undo_at_once(self.row.pk, undo_id=new_id(), caller=self.caller)
        if not document.is_finished or document.undone_by is None:
            return "It is being taken back."
        undo = documents.get_import(document.undone_by, caller=SYSTEM)
        return f"Taken back: {undo.changed:,} rows; {undo.refused:,} whose units are gone are refused."


class ErrorsPage(AdminPage, View):
    permission_required = ("inventory.view_stockimport",)
    slug, label, icon = "errors", "Refused rows", "download"

    @classmethod
    def leads_on(cls, row: models.StockImport, user: Any) -> bool:
        return row.refused > 0

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        columns, rows = documents.refused_sheet(self.row.pk, caller=self.caller)
        return Download(f"{self.row.pk}-errors", "csv", lambda path: write_sheet(path, "csv", columns, rows))


class _ExportPage(OfList, View):
    permission_required = ("inventory.view_item",)
    icon, kind = "download", ""

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        write = partial(export.export_stock, kind=self.kind, caller=self.caller)
        return Download("stock", self.kind, write)


class ExportCsvPage(_ExportPage):
    slug, label, kind = "export-csv", "Export CSV", "csv"


class ExportXlsxPage(_ExportPage):
    slug, label, kind = "export-xlsx", "Export XLSX", "xlsx"


@admin.register(models.StockImport)
class StockImportAdmin(ReadOnlyAdmin):
    list_display = ("file_name", "status", "mode", "rows", "new", "changed", "refused", "who", "created_at")
    list_filter = ("status", "mode", "is_dry_run")
    search_fields = ("file_name",)
    ordering = ("-created_at", "-id")
    fields = ("status", "mode", "who", "created_at", "finished_at", "understood_as", "note")
    readonly_fields = ("who",)
    change_form_outer_after_template = "inventory/import.html"
    actions_list = ("upload", "export_csv", "export_xlsx")
    actions_detail = ("approve", "undo", "errors")
    upload = button(UploadPage)
    export_csv = button(ExportCsvPage)
    export_xlsx = button(ExportXlsxPage)
    approve = button(ApprovePage)
    undo = button(UndoPage)
    errors = button(ErrorsPage)

    @display(description="by")
    def who(self, row: Any) -> str:
        return row.actor or "the command line"

    def get_queryset(self, request: HttpRequest) -> QuerySet[models.StockImport]:
        accounts = get_user_model().objects.filter(pk=OuterRef("actor_id"))
        rows = super().get_queryset(request).filter(seen_by(caller_of(request)))
        return rows.annotate(actor=Subquery(accounts.values("email")[:1]))

    def detail(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        return _detail(documents.get_import(row.pk, caller=SYSTEM))

    def change_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Have the page of an import that is being worked on ask again until it is done."""
        response = super().change_view(request, *args, **kwargs)
        if isinstance(response, TemplateResponse) and (response.context_data or {}).get("under_way"):
            response.headers["Refresh"] = str(REFRESH_SECONDS)
        return response


def _detail(document: documents.StockImport) -> dict[str, Any]:
    """Return what the page of an import shows: the diff that it made, or would make."""
    figures = [(name, getattr(document, name)) for name in ("rows", "new", "changed", "unchanged", "refused")]
    return {
        "under_way": UNDER_WAY.get(document.status),
        "must_be_mended": document.status == "checked" and document.on_error == "abort" and document.refused > 0,
        "figures": figures,
        "units": {
            "headers": ["warehouse", "units in", "units out"],
            "rows": [[found.warehouse, found.units_in, found.units_out] for found in document.warehouses],
        },
        "largest": {
            "headers": ["line", "sku", "warehouse", "from", "to", "change"],
            "rows": [
                [found.line, found.sku, found.warehouse, found.before, found.after, f"{found.after - found.before:+}"]
                for found in document.largest
            ],
        },
        "refused": {
            "headers": ["line", "column", "value", "what would be right"],
            "rows": [[found.line, found.column, found.value, found.detail] for found in document.refused_rows],
        },
    }
