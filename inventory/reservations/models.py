"""Reservations: the claims of orders and other references on stock."""

from django.db import models
from django.db.models import F, Q

from inventory.stock.limits import MAX_REFERENCE
from inventory.stock.vocabulary import State
from shop.toolkit.ids import new_id


class Reservation(models.Model):
    """The claim of one reference (an order) on units."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    owner = models.CharField(max_length=32, help_text="The creator, which alone may change it: orders or the API.")
    reference = models.CharField(max_length=MAX_REFERENCE)
    state = models.CharField(max_length=16, choices=State.choices)
    expires_at = models.DateTimeField(help_text="The deadline while it is held; without effect once it is confirmed.")
    actor_id = models.BigIntegerField(null=True)
    created_at = models.DateTimeField()
    confirmed_at = models.DateTimeField(null=True, help_text="When its units were promised.")
    ended_at = models.DateTimeField(null=True)

    class Meta:
        permissions = (("ship_out_of_turn", "Can ship before older promises"),)
        constraints = (
            models.CheckConstraint(condition=Q(state__in=State.values), name="inventory_reservation_state_known"),
            models.CheckConstraint(
                condition=Q(ended_at__isnull=True, state__in=State.OPEN)
                | Q(ended_at__isnull=False) & ~Q(state__in=State.OPEN),
                name="inventory_reservation_ends_once",
            ),
            models.UniqueConstraint(
                fields=["reference"], condition=Q(state__in=State.OPEN), name="inventory_reservation_open_once"
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
    returned = models.IntegerField(default=0, help_text="Units returned out of those fulfilled.")

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
            # The open claims on a stock row.
            models.Index(fields=["product_id", "warehouse_id"], condition=Q(open__gt=0), name="inventory_line_open"),
        )

    def __str__(self) -> str:
        return f"{self.quantity} of {self.product_id} in {self.warehouse_id}"
