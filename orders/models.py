from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from shop.toolkit.days import shown
from shop.toolkit.ids import new_id
from shop.toolkit.money import DECIMAL_PLACES, MAX_DIGITS

MAX_TOTAL_DIGITS = MAX_DIGITS + 9  # 1,000 lines of 1,000,000 units
MAX_PAYMENT_REFERENCE, MAX_REASON = 200, 500


class Status(models.TextChoices):
    """Where an order is in its life. It moves one way only."""

    PENDING = "pending"
    CONFIRMED = "confirmed"
    PARTIALLY_FULFILLED = "partially_fulfilled"
    FULFILLED = "fulfilled"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class Order(models.Model):
    """An order of one user, at the prices they saw. The reservation that it names holds its units."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    number = models.CharField(max_length=24, help_text="What people call the order.")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", db_index=False)
    reservation_id = models.UUIDField(unique=True)
    status = models.CharField(max_length=24, choices=Status.choices, default=Status.PENDING)
    currency = models.CharField(max_length=3)
    total = models.DecimalField(max_digits=MAX_TOTAL_DIGITS, decimal_places=DECIMAL_PLACES)
    payment_reference = models.CharField(max_length=MAX_PAYMENT_REFERENCE, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = (
            # Not `unique=True`: Django would add a second index, for prefix searches that nobody makes.
            models.UniqueConstraint(fields=["number"], name="orders_number_unique"),
            models.CheckConstraint(condition=Q(status__in=Status.values), name="orders_status_known"),
            models.CheckConstraint(condition=Q(total__gte=0), name="orders_total_not_negative"),
        )
        indexes = (
            models.Index(fields=["user", "-id"], name="orders_by_user"),
            # Pending orders, which are to be confirmed or to expire.
            models.Index(fields=["id"], condition=Q(status=Status.PENDING), name="orders_pending"),
            # A user's confirmed orders that are not paid.
            models.Index(
                fields=["user"],
                condition=Q(payment_reference="", status__in=[Status.CONFIRMED, Status.PARTIALLY_FULFILLED]),
                name="orders_unpaid",
            ),
        )
        permissions = (("confirm_order", "Can confirm orders"),)

    def __str__(self) -> str:
        return self.number


class Event(models.TextChoices):
    """What happened to an order."""

    PLACED = "placed"
    CONFIRMED = "confirmed"
    PARTIALLY_FULFILLED = "partially_fulfilled"
    FULFILLED = "fulfilled"
    RETURNED = "returned"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class OrderEvent(models.Model):
    """One step in the life of an order: what, by whom, when and why. Written with the step, never changed."""

    pk = models.CompositePrimaryKey("order_id", "number")
    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="events", db_index=False)
    number = models.PositiveSmallIntegerField()
    event = models.CharField(max_length=24, choices=Event.choices)
    actor_id = models.BigIntegerField(null=True)
    reason = models.CharField(max_length=MAX_REASON, blank=True)
    created_at = models.DateTimeField()

    class Meta:
        constraints = (models.CheckConstraint(condition=Q(event__in=Event.values), name="orders_event_known"),)

    def __str__(self) -> str:
        return f"{self.event} at {shown(self.created_at)}"


class OrderLine(models.Model):
    """One line as the buyer saw it, copied from the product so that later changes do not affect it."""

    pk = models.CompositePrimaryKey("order_id", "position")
    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="lines", db_index=False)
    position = models.PositiveSmallIntegerField()
    product_id = models.BigIntegerField()
    sku = models.CharField(max_length=64)
    name = models.CharField(max_length=200)
    quantity = models.IntegerField()
    unit_price = models.DecimalField(max_digits=MAX_DIGITS, decimal_places=DECIMAL_PLACES)
    total_price = models.DecimalField(max_digits=MAX_TOTAL_DIGITS, decimal_places=DECIMAL_PLACES)
    fulfilled = models.IntegerField(default=0)
    returned = models.IntegerField(default=0)
    cancelled = models.IntegerField(default=0)

    class Meta:
        ordering: ClassVar[list[str]] = ["order_id", "position"]
        constraints = (
            models.CheckConstraint(condition=Q(quantity__gte=1), name="orders_line_quantity_positive"),
            models.CheckConstraint(condition=~Q(sku="") & ~Q(name=""), name="orders_line_has_its_snapshot"),
            models.CheckConstraint(condition=Q(unit_price__gte=0), name="orders_line_price_not_negative"),
            models.CheckConstraint(
                condition=Q(total_price=F("quantity") * F("unit_price")), name="orders_line_total_is_product"
            ),
            models.CheckConstraint(
                condition=Q(fulfilled__gte=0, returned__gte=0, cancelled__gte=0), name="orders_line_not_negative"
            ),
            models.CheckConstraint(
                condition=Q(quantity__gte=F("fulfilled") + F("cancelled")), name="orders_line_no_more_than_ordered"
            ),
            models.CheckConstraint(
                condition=Q(fulfilled__gte=F("returned")), name="orders_line_no_more_returned_than_shipped"
            ),
        )

        indexes = (models.Index(fields=["sku"], name="orders_line_by_sku"),)

    def __str__(self) -> str:
        return f"{self.quantity} x {self.sku}"
