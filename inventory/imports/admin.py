"""Admin of imports: load a file, review its changes, apply or undo them."""

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
from shop.toolkit.plurals import counted
from shop.toolkit.refusals import Refusal
from shop.toolkit.staff.admin import AdminPage, ListPage, OfList, ReadOnlyAdmin, ServicePage, button

MODES = [
    ("set", "Stock on hand"),
    ("adjust", "Changes to add"),
    ("count", "Counted stock"),
]

REFRESH_SECONDS = 3
# Messages on the page of an unfinished import.
UNDER_WAY = {
    "staged": "The rows are being checked. Nothing is applied yet.",
    "applying": "The rows are being applied.",
    "aborting": "A row became invalid while the file was being applied. The applied rows are being undone.",
    "undoing": "The import is being undone.",
}


class UploadForm(forms.Form):
    file = forms.FileField(
        label="File",
        help_text="CSV, gzipped CSV or .xlsx with the columns sku and quantity, or a Shopify export.",
        widget=UnfoldAdminFileFieldWidget,
    )
    mode = forms.ChoiceField(label="The quantities are", choices=MODES, widget=UnfoldAdminSelectWidget)
    warehouse = WarehouseField(label="Warehouse", required=False)
    skip = forms.BooleanField(
        label="Skip refused rows", required=False, help_text="Otherwise one refused row refuses the whole file.",
        widget=UnfoldBooleanSwitchWidget,
    )  # fmt: skip
    again = forms.BooleanField(
        label="Load it again", required=False, help_text="Even if the same file was loaded before.",
        widget=UnfoldBooleanSwitchWidget,
    )  # fmt: skip
    note = forms.CharField(label="Note", max_length=MAX_NOTE, required=False, widget=UnfoldAdminTextInputWidget)

    def clean_file(self) -> UploadedFile:
        file: UploadedFile = self.cleaned_data["file"]
        if (file.size or 0) > settings.MAX_UPLOAD_BYTES:
            raise forms.ValidationError(
                f"A file may have at most {settings.MAX_UPLOAD_BYTES:,} bytes. Split or compress it."
            )
        return file


class UploadPage(WarehousesPage, ListPage):
    """Reads and checks a file as a dry run. Its changes are applied after a review only."""

    permission_required = ("inventory.view_stockimport", "inventory.add_stockimport")
    form_class = UploadForm
    slug, label, icon, submit = "upload", "Load a file", "upload", "Check the file"

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
            return f"Checked {counted(document.rows, 'row')} of {document.file_name}; nothing is applied yet."
        return f"Checking {counted(document.rows, 'row')} of {document.file_name}; nothing is applied yet."

    def done_at(self) -> str:
        return self.address("change", self.history_object().pk)

    def explain(self, refusal: Refusal) -> str:
        return _explained(refusal)


def _explained(refusal: Refusal) -> str:
    """Return what to say of a refusal, with advice for the form in place of that for API clients."""
    if isinstance(refusal, documents.AlreadyImported):
        return f"{refusal.fact} To import it anyway, load it with “Load it again” switched on."
    return str(refusal)


class ApprovePage(ServicePage):
    permission_required = ("inventory.view_stockimport", "inventory.add_stockimport")
    form_class = forms.Form
    slug, label, icon, submit = "approve", "Apply these changes", "check", "Apply them"

    @classmethod
    def leads_on(cls, row: models.StockImport, user: Any) -> bool:
        waits = row.is_reviewed and row.status == ImportStatus.CHECKED
        return waits and (row.skips_refused or not row.refused)

    def act(self, given: dict[str, Any]) -> str:
        document = steps.approve_at_once(self.row.pk, caller=self.caller)
        if document.status == "refused":
            return f"Nothing was applied: the current stock refuses {counted(document.refused, 'row')}."
        step = "Applied" if document.is_finished else "Applying"
        return f"{step} {counted(document.rows, 'row')} of {document.file_name}."

    def explain(self, refusal: Refusal) -> str:
        return _explained(refusal)


class UndoPage(ServicePage):
    permission_required = ("inventory.view_stockimport", "inventory.undo_stockimport")
    form_class = forms.Form
    slug, label, icon = "undo", "Undo the import", "undo"

    @classmethod
    def leads_on(cls, row: models.StockImport, user: Any) -> bool:
        return row.undoes_id is None and row.status == ImportStatus.APPLIED

    def act(self, given: dict[str, Any]) -> str:
        document = steps.undo_at_once(self.row.pk, undo_id=new_id(), caller=self.caller)
        if not document.is_finished or document.undone_by is None:
            return f"Undoing the import of {document.file_name}."
        undo = documents.get_import(document.undone_by, caller=SYSTEM)
        refused = f" Refused because the units are gone: {counted(undo.refused, 'row')}." if undo.refused else ""
        return f"Undid {counted(undo.changed, 'row')} of {document.file_name}.{refused}"


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
        """Make the page of an unfinished import refresh itself."""
        response = super().change_view(request, *args, **kwargs)
        if isinstance(response, TemplateResponse) and (response.context_data or {}).get("under_way"):
            response.headers["Refresh"] = str(REFRESH_SECONDS)
        return response


def _detail(document: documents.StockImport) -> dict[str, Any]:
    """Return the figures and tables on the page of an import: its changes, made or expected."""
    figures = [(name, getattr(document, name)) for name in ("rows", "new", "changed", "unchanged", "refused")]
    return {
        "under_way": UNDER_WAY.get(document.status),
        "must_be_corrected": document.status == "checked" and document.on_error == "abort" and document.refused > 0,
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
            "headers": ["line", "column", "value", "how to correct it"],
            "rows": [[found.line, found.column, found.value, found.detail] for found in document.refused_rows],
        },
    }
