"""The tables of imports: documents, and rows that are not applied yet."""

from django.db import models
from django.db.models import Q
from django.utils import timezone

from inventory.imports.vocabulary import ImportStatus, Mode
from inventory.stock.limits import MAX_LEVEL, MAX_NOTE, MAX_REFERENCE
from shop.toolkit.days import day_of
from shop.toolkit.ids import new_id


class StockImport(models.Model):
    """A stock file that was loaded, or the undo of one: a document with its figures."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    status = models.CharField(max_length=16, choices=ImportStatus.choices, default=ImportStatus.STAGED)
    mode = models.CharField(max_length=16, choices=Mode.choices)
    skips_refused = models.BooleanField(
        help_text="Whether refused rows are skipped. Otherwise one refuses the whole file."
    )
    is_dry_run = models.BooleanField(default=False)
    is_reviewed = models.BooleanField(
        default=False, help_text="Whether this is a dry run that can be approved after a review."
    )
    again = models.BooleanField(
        default=False, help_text="Whether it was loaded even if the same file was loaded before."
    )
    undoes = models.OneToOneField("self", null=True, on_delete=models.PROTECT, related_name="undone_by")
    file_name = models.CharField(max_length=255)
    file_hash = models.CharField(max_length=64, blank=True, help_text="The SHA-256 of the file.")
    understood_as = models.CharField(max_length=500, help_text="The detected encoding, separator and layout.")
    options = models.JSONField(
        default=dict, help_text="The options of the request, which must match to resume the import."
    )
    columns = models.JSONField(help_text="The column names of the file, for the file of refused rows.")
    places = models.JSONField(help_text="The index of the column of each field.")
    note = models.CharField(max_length=MAX_NOTE, blank=True)
    actor_id = models.BigIntegerField(null=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    finished_at = models.DateTimeField(null=True)
    position = models.IntegerField(default=0, help_text="The last line that was processed.")
    rows = models.IntegerField(default=0)
    skipped = models.IntegerField(default=0, help_text="Rows without stock, such as rows of images.")
    # The results so far; of a dry run, the expected results.
    new = models.IntegerField(default=0)
    changed = models.IntegerField(default=0)
    unchanged = models.IntegerField(default=0)
    refused = models.IntegerField(default=0)
    by_warehouse = models.JSONField(default=dict, help_text="Units in and out, by warehouse.")
    largest = models.JSONField(default=list, help_text="The twenty largest changes.")

    class Meta:
        constraints = (
            models.CheckConstraint(condition=Q(status__in=ImportStatus.values), name="inventory_import_status_known"),
            models.CheckConstraint(condition=Q(mode__in=Mode.values), name="inventory_import_mode_known"),
            models.CheckConstraint(
                condition=Q(finished_at__isnull=True, status__in=ImportStatus.UNFINISHED)
                | Q(finished_at__isnull=False) & ~Q(status__in=ImportStatus.UNFINISHED),
                name="inventory_import_ends_once",
            ),
            # The same file cannot be loaded twice by mistake, not even concurrently.
            models.UniqueConstraint(
                fields=["file_hash"],
                condition=Q(again=False, is_dry_run=False, undoes__isnull=True) & Q(status__in=ImportStatus.LOADED),
                name="inventory_import_once",
            ),
        )
        indexes = (models.Index(fields=["-created_at", "-id"], name="inventory_import_newest"),)
        permissions = (("undo_stockimport", "Can undo stock imports"),)

    def __str__(self) -> str:
        return f"{self.file_name} on {day_of(self.created_at)}"


class ImportRow(models.Model):
    """A row of an import that is still to be applied, or that was refused. Applied rows are in the ledger only."""

    pk = models.CompositePrimaryKey("stock_import_id", "line")
    stock_import = models.ForeignKey(StockImport, on_delete=models.CASCADE, related_name="+", db_index=False)
    line = models.IntegerField(help_text="The line number in the file; the first line is 1.")
    product_id = models.BigIntegerField(null=True)
    warehouse_id = models.BigIntegerField(null=True)
    quantity = models.IntegerField(null=True)
    expected_on_hand = models.IntegerField(null=True)
    unavailable = models.IntegerField(db_default=0, help_text="For an undo: units that become unavailable again.")
    reason = models.CharField(max_length=16, blank=True)
    reference = models.CharField(max_length=MAX_REFERENCE, blank=True)
    note = models.CharField(max_length=MAX_NOTE, blank=True)
    cells = models.TextField(help_text="The row as it is in the file, as a JSON list.")
    fault_field = models.CharField(max_length=32, blank=True)
    fault = models.CharField(max_length=1000, blank=True, help_text="Why the row is refused, and how to correct it.")

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=~Q(fault="")
                | Q(product_id__isnull=False, warehouse_id__isnull=False, quantity__range=(-MAX_LEVEL, MAX_LEVEL)),
                name="inventory_import_row_complete",
            ),
        )

    def __str__(self) -> str:
        return f"line {self.line}"
