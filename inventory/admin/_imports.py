"""Imports: load a file, look at what it would change, approve it, take it back."""

from functools import partial
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.core.files.uploadedfile import UploadedFile
from django.db.models import Model, OuterRef, QuerySet, Subquery
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from unfold.decorators import action, display
from unfold.widgets import (
    UnfoldAdminFileFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from inventory import models
from inventory import services as inventory
from shop.toolkit.admin import ReadOnlyAdmin, ServicePage
from shop.toolkit.ids import new_id
from shop.toolkit.sheets import write_sheet
from shop.toolkit.uploads import Download, on_disk

LOAD, UNDO = "inventory.add_stockimport", "inventory.undo_stockimport"
MODES = [
    ("set", "What is on hand"),
    ("adjust", "What is to be added"),
    ("count", "What was counted"),
]


class UploadForm(forms.Form):
    file = forms.FileField(
        label="File",
        help_text="CSV, CSV in gzip, or .xlsx: sku and quantity, or what Shopify exports.",
        widget=UnfoldAdminFileFieldWidget,
    )
    mode = forms.ChoiceField(label="The quantities are", choices=MODES, widget=UnfoldAdminSelectWidget)
    warehouse = forms.ChoiceField(
        label="Warehouse",
        required=False,
        choices=lambda: [("", "as the file says"), *models.Warehouse.objects.values_list("code", "code")],
        widget=UnfoldAdminSelectWidget,
    )
    skip = forms.BooleanField(
        label="Leave out refused rows", required=False, help_text="Else one refused row refuses the file.",
        widget=UnfoldBooleanSwitchWidget,
    )  # fmt: skip
    again = forms.BooleanField(
        label="Load it again", required=False, help_text="Although the same file was loaded before.",
        widget=UnfoldBooleanSwitchWidget,
    )  # fmt: skip
    note = forms.CharField(label="Note", max_length=models.MAX_NOTE, required=False, widget=UnfoldAdminTextInputWidget)

    def clean_file(self) -> UploadedFile:
        file: UploadedFile = self.cleaned_data["file"]
        if (file.size or 0) > settings.MAX_UPLOAD_BYTES:
            raise forms.ValidationError(f"At most {settings.MAX_UPLOAD_BYTES:,} bytes are taken; split it, or pack it.")
        return file


class UploadPage(ServicePage):
    """Reads and checks a file; nothing is written before somebody has seen what would change."""

    permission_required = ("inventory.view_stockimport", LOAD)
    form_class, title, submit = UploadForm, "Load stock from a file", "Check it"
    makes_the_row = True

    def act(self, given: dict[str, Any]) -> str:
        self.import_id = new_id()
        file = given["file"]
        request = inventory.ImportRequest(
            file_name=file.name or "file",
            mode=given["mode"],
            on_error="skip" if given["skip"] else "abort",
            dry_run=True,
            review=True,
            again=given["again"],
            warehouse=given["warehouse"] or None,
            note=given["note"],
        )
        limits = inventory.FileLimits.of_upload(settings.MAX_UPLOAD_BYTES)
        with on_disk(file) as path_on_disk:
            document = inventory.load_import(
                request, import_id=self.import_id, path=path_on_disk, limits=limits, actor_id=self.actor_id
            )
        return f"Checked {document.rows:,} rows; nothing is written yet."

    def history_object(self) -> Model:
        return models.StockImport.objects.get(pk=self.import_id)

    def target(self) -> str:
        if hasattr(self, "import_id"):
            return reverse("admin:inventory_stockimport_change", args=[self.import_id])
        return reverse("admin:inventory_stockimport_changelist")


class _ImportPage(ServicePage):
    """A question about one import."""

    form_class = forms.Form

    def history_object(self) -> Model:
        row = models.StockImport.objects.filter(pk=self.kwargs["import_id"]).first()
        if row is None:
            raise Http404
        return row

    def target(self) -> str:
        return reverse("admin:inventory_stockimport_change", args=[self.kwargs["import_id"]])


class ApprovePage(_ImportPage):
    permission_required = ("inventory.view_stockimport", LOAD)
    title, submit = "Write these changes", "Write them"

    def act(self, given: dict[str, Any]) -> str:
        document = inventory.approve_at_once(self.kwargs["import_id"])
        if document.status == "refused":
            return f"Nothing was written: {document.refused:,} rows are refused as the stock is now."
        return "Written." if document.is_finished else f"{document.rows:,} rows are being written; reload this page."


class UndoPage(_ImportPage):
    permission_required = ("inventory.view_stockimport", UNDO)
    title, submit = "Take this import back", "Take it back"

    def act(self, given: dict[str, Any]) -> str:
        document = inventory.undo_at_once(self.kwargs["import_id"], undo_id=new_id(), actor_id=self.actor_id)
        if not document.is_finished or document.undone_by is None:
            return "It is being taken back; reload this page."
        undo = inventory.get_import(document.undone_by)
        return f"Taken back: {undo.changed:,} rows; {undo.refused:,} whose units are gone are refused."


@admin.register(models.StockImport)
class StockImportAdmin(ReadOnlyAdmin):
    list_display = ("file_name", "status", "mode", "rows", "new", "changed", "refused", "who", "created_at")
    list_filter = ("status", "mode", "is_dry_run")
    search_fields = ("file_name",)
    ordering = ("-created_at", "-id")
    fields = ("status", "mode", "who", "created_at", "finished_at", "understood_as", "note")
    readonly_fields = ("who",)
    change_form_outer_after_template = "inventory/import.html"
    actions_list = ("load_file", "export_csv", "export_xlsx")
    actions_detail = ("approve", "undo", "errors")

    def has_load_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return request.user.has_perm(LOAD)

    def has_undo_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return request.user.has_perm(UNDO)

    def has_export_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return request.user.has_perm("inventory.view_item")

    @display(description="by")
    def who(self, row: Any) -> str:
        return row.actor or "the command line"

    def get_queryset(self, request: HttpRequest) -> QuerySet[models.StockImport]:
        accounts = get_user_model().objects.filter(pk=OuterRef("actor_id"))
        return super().get_queryset(request).annotate(actor=Subquery(accounts.values("email")[:1]))

    @action(description="Load a file", url_path="to-upload", permissions=["load"], icon="upload")
    def load_file(self, request: HttpRequest) -> HttpResponse:
        return redirect("admin:inventory_stockimport_upload_page")

    @action(description="Export CSV", url_path="export-csv", permissions=["export"], icon="download")
    def export_csv(self, request: HttpRequest) -> Download:
        return Download("stock", "csv", partial(inventory.export_stock, kind="csv"))

    @action(description="Export XLSX", url_path="export-xlsx", permissions=["export"], icon="download")
    def export_xlsx(self, request: HttpRequest) -> Download:
        return Download("stock", "xlsx", partial(inventory.export_stock, kind="xlsx"))

    @action(description="Write these changes", url_path="to-approve", permissions=["load"], icon="check")
    def approve(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return redirect("admin:inventory_stockimport_approve_page", object_id)

    @action(description="Take it back", url_path="to-undo", permissions=["undo"], icon="undo")
    def undo(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return redirect("admin:inventory_stockimport_undo_page", object_id)

    @action(description="Refused rows", url_path="errors", permissions=["view"], icon="download")
    def errors(self, request: HttpRequest, object_id: str) -> Download:
        row = self.get_object(request, object_id)
        if row is None:
            raise Http404
        columns, rows = inventory.refused_sheet(row.pk)
        return Download(f"{object_id}-errors", "csv", lambda path: write_sheet(path, "csv", columns, rows))

    def get_actions_detail(self, request: HttpRequest, object_id: str) -> list[Any]:
        """Show the steps that lead on from where the import is."""
        row = self.get_object(request, object_id)
        leads_on = {
            "to-approve": row is not None and _can_be_approved(row),
            "to-undo": row is not None and row.undoes_id is None and row.status == models.ImportStatus.APPLIED,
            "errors": row is not None and row.refused > 0,
        }
        return [found for found in super().get_actions_detail(request, object_id) if leads_on[found.path]]

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("upload/", view(UploadPage.as_view(model_admin=self)), name="inventory_stockimport_upload_page"),
            path(
                "<uuid:import_id>/approve/",
                view(ApprovePage.as_view(model_admin=self)),
                name="inventory_stockimport_approve_page",
            ),
            path(
                "<uuid:import_id>/undo/",
                view(UndoPage.as_view(model_admin=self)),
                name="inventory_stockimport_undo_page",
            ),
            *super().get_urls(),
        ]

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        row = self.get_object(request, object_id) if object_id else None
        context = _detail(inventory.get_import(row.pk)) if row is not None else {}
        return super().changeform_view(request, object_id, form_url, {**(extra_context or {}), **context})


def _can_be_approved(row: models.StockImport) -> bool:
    waits = row.is_reviewed and row.status == models.ImportStatus.CHECKED
    return waits and (row.skips_refused or not row.refused)


def _detail(document: inventory.StockImport) -> dict[str, Any]:
    """Return what the page of an import shows: the diff that it made, or would make."""
    figures = [(name, getattr(document, name)) for name in ("rows", "new", "changed", "unchanged", "refused")]
    return {
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
