"""Stocktakes and their lines."""

from django.db import models
from django.db.models import Q
from django.utils import timezone

from inventory.stock.limits import MAX_LEVEL, MAX_NOTE
from inventory.stock.models import Warehouse
from shop.toolkit.days import day_of
from shop.toolkit.ids import new_id


class Count(models.Model):
    """A stocktake of one warehouse, open until every line is posted or it is abandoned.

    A warehouse may have several open counts. No stock row is corrected twice: a line must be counted again if its stock
    row was corrected after it was counted.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    warehouse = models.ForeignKey(Warehouse, on_delete=models.PROTECT, related_name="+")
    note = models.CharField(max_length=MAX_NOTE, blank=True)
    opened_by = models.BigIntegerField(null=True)
    opened_at = models.DateTimeField(default=timezone.now, editable=False)
    closed_by = models.BigIntegerField(null=True)
    closed_at = models.DateTimeField(null=True)
    is_abandoned = models.BooleanField(db_default=False, help_text="Whether it ended without posting its open lines.")

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=Q(is_abandoned=False) | Q(closed_at__isnull=False), name="inventory_count_abandoned_is_closed"
            ),
        )

    def __str__(self) -> str:
        return f"{self.warehouse} on {day_of(self.opened_at)}"


class CountLine(models.Model):
    """The counted units of one product, and the units on record at the moment of the last entry."""

    pk = models.CompositePrimaryKey("count_id", "product_id")
    count = models.ForeignKey(Count, on_delete=models.PROTECT, related_name="lines", db_index=False)
    product_id = models.BigIntegerField()
    counted = models.IntegerField()
    book = models.IntegerField(help_text="Units on hand by the ledger at the moment of the entry.")
    book_seq = models.BigIntegerField(
        db_default=0, help_text="The number of the newest movement at the moment of the entry."
    )
    counted_by = models.BigIntegerField(null=True)
    counted_at = models.DateTimeField()
    posted_at = models.DateTimeField(null=True, help_text="When the line corrected or confirmed the stock.")

    class Meta:
        constraints = (
            models.CheckConstraint(condition=Q(counted__range=(0, MAX_LEVEL)), name="inventory_counted_in_range"),
            models.CheckConstraint(condition=Q(book__range=(0, MAX_LEVEL)), name="inventory_book_in_range"),
        )

    def __str__(self) -> str:
        return f"{self.counted} of {self.product_id}"
