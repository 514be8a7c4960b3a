"""The tables of stock. All quantities are whole units; `sql.py` holds the statements that change them."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Greatest, NullIf
from django.utils import timezone

from shop.toolkit.ids import new_id


class Warehouse(models.Model):
    """A place that holds stock. Allocation prefers the lowest `priority`."""

    id = models.BigAutoField(primary_key=True)
    code = models.CharField(max_length=32, unique=True)
    name = models.CharField(max_length=200, blank=True)
    priority = models.PositiveIntegerField(default=100, help_text="The lowest number is served from first.")
    is_active = models.BooleanField(default=True, help_text="Orders are served from active warehouses only.")

    class Meta:
        ordering: ClassVar[list[str]] = ["priority", "id"]

    def __str__(self) -> str:
        return self.code


class Item(models.Model):
    """Inventory's record of one product; `sku`, `name` and `is_active` are labels kept by products."""

    product_id = models.BigIntegerField(primary_key=True)
    sku = models.CharField(max_length=64, unique=True)
    name = models.CharField(max_length=200)
    is_active = models.BooleanField(default=True, help_text="Whether the product is on sale.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name = "inventory item"

    def __str__(self) -> str:
        return self.sku


# No level may pass this, so that no sum of levels leaves the range of a 32-bit integer.
MAX_LEVEL = 1_000_000_000
MAX_REFERENCE, MAX_NOTE = 100, 500

# Units that may be sold, for queries over stock rows.
AVAILABLE = Greatest(
    F("on_hand") - F("unavailable") - F("safety_stock") - F("reserved") - F("committed"),
    0,
    output_field=models.IntegerField(),
)


def _level(quantity: str) -> models.CheckConstraint:
    # Promises may exceed what is on hand by the backorder limit, so they may reach twice the level.
    highest = 2 * MAX_LEVEL if quantity in ("reserved", "committed", "unavailable") else MAX_LEVEL
    return models.CheckConstraint(
        condition=Q(**{f"{quantity}__range": (0, highest)}), name=f"inventory_{quantity}_in_range"
    )


class Stock(models.Model):
    """One row per item and warehouse: the heads of the ledger's chains."""

    # The distribution column comes first in every key on the stock side; see docs/architecture.md.
    pk = models.CompositePrimaryKey("product_id", "warehouse_id")
    product = models.ForeignKey(Item, on_delete=models.PROTECT, related_name="stocks")
    warehouse = models.ForeignKey(Warehouse, on_delete=models.PROTECT, related_name="+")
    on_hand = models.IntegerField(default=0)
    reserved = models.IntegerField(default=0)
    committed = models.IntegerField(default=0)
    unavailable = models.IntegerField(default=0)
    safety_stock = models.IntegerField(default=0)
    backorder_limit = models.IntegerField(default=0)
    reorder_point = models.IntegerField(default=0)
    seq = models.BigIntegerField(default=0, help_text="Of the newest movement; 0 before the first.")
    # Null where there is no movement yet, so that the foreign key to the head of the ledger leaves such a row alone.
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
            models.CheckConstraint(
                condition=Q(seq__gte=1) | Q(seq=0, on_hand=0, reserved=0, committed=0, unavailable=0),
                name="inventory_no_units_without_a_movement",
            ),
        )

    def __str__(self) -> str:
        return f"{self.product_id} in {self.warehouse_id}"

    @property
    def available(self) -> int:
        """The same as AVAILABLE, of a row that has been read."""
        return max(0, self.on_hand - self.unavailable - self.safety_stock - self.reserved - self.committed)


class Kind(models.TextChoices):
    """What a movement did."""

    RECEIVE = "receive"
    ADJUST = "adjust"
    TRANSFER = "transfer"
    COUNT = "count"
    RESERVE = "reserve"
    COMMIT = "commit"
    RELEASE = "release"
    EXPIRE = "expire"
    SHIP = "ship"
    RETURN = "return"


class Reason(models.TextChoices):
    """Why staff changed stock; reservations need no reason beside their kind."""

    NONE = ""
    RECEIVED = "received"
    DAMAGED = "damaged"
    LOST = "lost"
    FOUND = "found"
    CORRECTION = "correction"
    RETURN = "return"
    COUNT = "count"
    IMPORT = "import"
    TRANSFER = "transfer"
    SALE = "sale"


def _before(quantity: str) -> models.GeneratedField:
    return models.GeneratedField(
        expression=F(quantity) - F(f"{quantity}_delta"), output_field=models.IntegerField(), db_persist=True
    )


class Movement(models.Model):
    """One immutable row of the ledger: the change, the balances after it, and why. Written by `sql.post_movements`."""

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
    created_at = models.DateTimeField()
    # What the movement before must have left; a foreign key of the table to itself holds the chain together.
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
        )

    def __str__(self) -> str:
        return f"{self.product_id}-{self.warehouse_id}-{self.seq}"


class State(models.TextChoices):
    """Where a reservation is in its life. It moves one way only."""

    HELD = "held"
    CONFIRMED = "confirmed"
    FULFILLED = "fulfilled"
    RELEASED = "released"
    EXPIRED = "expired"


OPEN_STATES = (State.HELD, State.CONFIRMED)


class Reservation(models.Model):
    """The claim of one reference (an order) on units."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    owner = models.CharField(max_length=32, help_text="Who made it, and alone may change it: orders, or the API.")
    reference = models.CharField(max_length=MAX_REFERENCE)
    state = models.CharField(max_length=16, choices=State.choices)
    expires_at = models.DateTimeField(help_text="When a held one stops being good. Of a confirmed one: history.")
    actor_id = models.BigIntegerField(null=True)
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (
            models.CheckConstraint(condition=Q(state__in=State.values), name="inventory_reservation_state_known"),
            models.CheckConstraint(
                condition=Q(ended_at__isnull=True, state__in=OPEN_STATES)
                | Q(ended_at__isnull=False) & ~Q(state__in=OPEN_STATES),
                name="inventory_reservation_ends_once",
            ),
            models.UniqueConstraint(
                fields=["reference"], condition=Q(state__in=OPEN_STATES), name="inventory_reservation_open_once"
            ),
        )
        indexes = (
            models.Index(fields=["reference"], name="inventory_reservation_ref"),
            models.Index(fields=["expires_at"], condition=Q(state=State.HELD), name="inventory_reservation_due"),
        )

    def __str__(self) -> str:
        return f"{self.reference}: {self.state}"


class ReservationLine(models.Model):
    """Units of one product in one warehouse that a reservation claims: each is open, fulfilled or released."""

    pk = models.CompositePrimaryKey("reservation_id", "product_id", "warehouse_id")
    reservation = models.ForeignKey(Reservation, on_delete=models.PROTECT, related_name="lines", db_index=False)
    product_id = models.BigIntegerField()
    warehouse_id = models.BigIntegerField()
    quantity = models.IntegerField()
    open = models.IntegerField()
    fulfilled = models.IntegerField(default=0)
    released = models.IntegerField(default=0)
    returned = models.IntegerField(default=0, help_text="Of the fulfilled ones.")

    class Meta:
        constraints = (
            models.CheckConstraint(condition=Q(quantity__gte=1), name="inventory_line_quantity_positive"),
            models.CheckConstraint(
                condition=Q(open__gte=0, fulfilled__gte=0, released__gte=0), name="inventory_line_not_negative"
            ),
            models.CheckConstraint(
                condition=Q(quantity=F("open") + F("fulfilled") + F("released")), name="inventory_line_adds_up"
            ),
            models.CheckConstraint(
                condition=Q(returned__gte=0, fulfilled__gte=F("returned")), name="inventory_line_returned_were_shipped"
            ),
        )
        indexes = (
            # Whose promises stand on a stock row.
            models.Index(fields=["product_id", "warehouse_id"], condition=Q(open__gt=0), name="inventory_line_open"),
        )

    def __str__(self) -> str:
        return f"{self.quantity} of {self.product_id} in {self.warehouse_id}"


class Count(models.Model):
    """A stocktake of one warehouse: a document of counted rows, open while people count, closed once."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    warehouse = models.ForeignKey(Warehouse, on_delete=models.PROTECT, related_name="+")
    note = models.CharField(max_length=MAX_NOTE, blank=True)
    opened_by = models.BigIntegerField(null=True)
    opened_at = models.DateTimeField(default=timezone.now, editable=False)
    closed_by = models.BigIntegerField(null=True)
    closed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["warehouse"], condition=Q(closed_at__isnull=True), name="inventory_count_open_once"
            ),
        )

    def __str__(self) -> str:
        return f"{self.warehouse_id} on {self.opened_at:%Y-%m-%d}"


class CountLine(models.Model):
    """What somebody counted of one product, and what the book said at that moment."""

    pk = models.CompositePrimaryKey("count_id", "product_id")
    count = models.ForeignKey(Count, on_delete=models.PROTECT, related_name="lines", db_index=False)
    product_id = models.BigIntegerField()
    counted = models.IntegerField()
    book = models.IntegerField(help_text="On hand by the ledger when it was counted.")
    counted_by = models.BigIntegerField(null=True)
    counted_at = models.DateTimeField()

    class Meta:
        constraints = (
            models.CheckConstraint(condition=Q(counted__range=(0, MAX_LEVEL)), name="inventory_counted_in_range"),
            models.CheckConstraint(condition=Q(book__range=(0, MAX_LEVEL)), name="inventory_book_in_range"),
        )

    def __str__(self) -> str:
        return f"{self.counted} of {self.product_id}"
