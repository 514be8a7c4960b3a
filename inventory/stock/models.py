"""The tables of warehouses, items, stock rows and the ledger. All quantities are whole units."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import NullIf
from django.utils import timezone

from inventory.stock.limits import MAX_LEVEL, MAX_NOTE, MAX_REFERENCE
from inventory.stock.vocabulary import Kind, Reason
from shop.toolkit.skus import MAX_KEY, MAX_SKU


class Warehouse(models.Model):
    """A place that holds stock. Allocation prefers the lowest `priority`."""

    id = models.BigAutoField(primary_key=True)
    code = models.CharField(max_length=32, unique=True)
    name = models.CharField(max_length=200, blank=True)
    priority = models.PositiveIntegerField(default=100, help_text="Orders are served from the lowest number first.")
    is_active = models.BooleanField(default=True, help_text="Orders are served from active warehouses only.")

    class Meta:
        ordering: ClassVar[list[str]] = ["priority", "id"]

    def __str__(self) -> str:
        return self.code


class WarehouseScope(models.Model):
    """One warehouse that a member of staff works in. A member without such rows works in all warehouses."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", db_index=False)
    warehouse = models.ForeignKey(Warehouse, on_delete=models.PROTECT, related_name="+")

    class Meta:
        constraints = (models.UniqueConstraint(fields=["user", "warehouse"], name="inventory_scope_once"),)

    def __str__(self) -> str:
        return f"{self.user_id} in {self.warehouse_id}"


class Item(models.Model):
    """Inventory's record of one product; `sku`, `name` and `is_active` are labels kept by products."""

    product_id = models.BigIntegerField(primary_key=True)
    sku = models.CharField("SKU", max_length=MAX_SKU, unique=True)
    sku_key = models.CharField(
        max_length=MAX_KEY, db_default="", editable=False, help_text="The SKU in a form that ignores case."
    )
    name = models.CharField(max_length=200)
    is_active = models.BooleanField(default=True, help_text="Whether the product is on sale.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name = "inventory item"
        constraints = (
            models.UniqueConstraint(F("sku_key"), name="inventory_item_by_sku_key"),
            models.CheckConstraint(condition=~Q(sku_key=""), name="inventory_item_has_sku_key"),
        )

    def __str__(self) -> str:
        return self.sku


def _level(quantity: str) -> models.CheckConstraint:
    # Promises may exceed what is on hand by the backorder limit, so they may reach twice the level.
    highest = 2 * MAX_LEVEL if quantity in ("reserved", "committed", "unavailable") else MAX_LEVEL
    return models.CheckConstraint(
        condition=Q(**{f"{quantity}__range": (0, highest)}), name=f"inventory_{quantity}_in_range"
    )


class Stock(models.Model):
    """One row per item and warehouse, with the balances after its newest movement."""

    # The distribution column comes first in every key on the stock side; see docs/architecture.md.
    pk = models.CompositePrimaryKey("product_id", "warehouse_id")
    product = models.ForeignKey(Item, on_delete=models.PROTECT, related_name="stocks", db_index=False)
    warehouse = models.ForeignKey(Warehouse, on_delete=models.PROTECT, related_name="+")
    on_hand = models.IntegerField(default=0)
    reserved = models.IntegerField(default=0)
    committed = models.IntegerField(default=0)
    unavailable = models.IntegerField(default=0)
    safety_stock = models.IntegerField(default=0)
    backorder_limit = models.IntegerField(default=0)
    reorder_point = models.IntegerField(null=True, help_text="The stock is low at or below this number; null for none.")
    is_listed = models.BooleanField(
        default=True, db_default=True, help_text="False after removal; the row is then shown only while it has units."
    )
    seq = models.BigIntegerField(default=0, help_text="The number of the newest movement; 0 before the first.")
    # Null before the first movement, so that the foreign key to the newest movement does not apply.
    head_seq = models.GeneratedField(
        expression=NullIf(F("seq"), 0), output_field=models.BigIntegerField(), db_persist=True
    )

    class Meta:
        constraints = (
            _level("on_hand"),
            _level("reserved"),
            _level("committed"),
            _level("unavailable"),
            _level("safety_stock"),
            _level("backorder_limit"),
            _level("reorder_point"),
            models.CheckConstraint(
                condition=Q(on_hand__gte=F("reserved") + F("committed") + F("unavailable") - F("backorder_limit")),
                name="inventory_never_oversold",
            ),
            # The backorder limit allows more promises, never more unavailable units.
            models.CheckConstraint(condition=Q(on_hand__gte=F("unavailable")), name="inventory_unavailable_is_on_hand"),
            models.CheckConstraint(
                condition=Q(seq__gte=1) | Q(seq=0, on_hand=0, reserved=0, committed=0, unavailable=0),
                name="inventory_no_units_without_a_movement",
            ),
        )

    def __str__(self) -> str:
        return f"{self.product_id} in {self.warehouse_id}"


def _before(quantity: str) -> models.GeneratedField:
    return models.GeneratedField(
        expression=F(quantity) - F(f"{quantity}_delta"), output_field=models.IntegerField(), db_persist=True
    )


class Movement(models.Model):
    """One immutable row of the ledger: the change, the balances after it, and why. Written with its stock row."""

    pk = models.CompositePrimaryKey("product_id", "warehouse_id", "seq")
    product_id = models.BigIntegerField()
    # Plain numbers, no foreign keys: each insert would lock the warehouse's row, which all buyers share.
    warehouse_id = models.BigIntegerField()
    seq = models.BigIntegerField()
    kind = models.CharField(max_length=16, choices=Kind.choices)
    reason = models.CharField(max_length=16, choices=Reason.choices, blank=True)
    on_hand_delta = models.IntegerField()
    reserved_delta = models.IntegerField()
    committed_delta = models.IntegerField()
    unavailable_delta = models.IntegerField()
    on_hand = models.IntegerField()
    reserved = models.IntegerField()
    committed = models.IntegerField()
    unavailable = models.IntegerField()
    reference = models.CharField(max_length=MAX_REFERENCE, blank=True)
    actor_id = models.BigIntegerField(null=True)
    note = models.CharField(max_length=MAX_NOTE, blank=True)
    import_id = models.UUIDField(null=True, help_text="The import that made this movement.")
    created_at = models.DateTimeField()
    # The balances that the previous movement must have left; a foreign key of the table to itself enforces it.
    prev_seq = models.GeneratedField(
        expression=NullIf(F("seq") - 1, 0), output_field=models.BigIntegerField(), db_persist=True
    )
    prev_on_hand = _before("on_hand")
    prev_reserved = _before("reserved")
    prev_committed = _before("committed")
    prev_unavailable = _before("unavailable")

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=Q(seq__gt=1)
                | Q(
                    seq=1,
                    on_hand=F("on_hand_delta"),
                    reserved=F("reserved_delta"),
                    committed=F("committed_delta"),
                    unavailable=F("unavailable_delta"),
                ),
                name="inventory_movement_first_from_zero",
            ),
            models.UniqueConstraint(
                fields=["product_id", "warehouse_id", "seq", "on_hand", "reserved", "committed", "unavailable"],
                name="inventory_movement_balances",
            ),
            models.CheckConstraint(condition=Q(kind__in=Kind.values), name="inventory_movement_kind_known"),
            models.CheckConstraint(condition=Q(reason__in=Reason.values), name="inventory_movement_reason_known"),
        )
        indexes = (
            # The ledger of a product, newest first; and, for each of its warehouses, the last movement before a time.
            models.Index(
                fields=["product_id", "-created_at", "-warehouse_id", "-seq"], name="inventory_movement_newest"
            ),
            models.Index(fields=["product_id", "warehouse_id", "-created_at", "-seq"], name="inventory_movement_as_of"),
            # Sales by day and product, as index-only scans.
            models.Index(
                fields=["created_at"],
                include=["product_id", "warehouse_id", "on_hand_delta"],
                condition=Q(kind=Kind.SHIP),
                name="inventory_movement_shipped",
            ),
            # The movements of an import, in the order in which it is undone.
            models.Index(
                fields=["import_id", "product_id", "warehouse_id"],
                condition=Q(import_id__isnull=False),
                name="inventory_movement_import",
            ),
        )

    def __str__(self) -> str:
        return f"{self.product_id}-{self.warehouse_id}-{self.seq}"
