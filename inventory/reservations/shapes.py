from typing import Any

from django.conf import settings
from rest_framework import serializers

from inventory.stock.limits import MAX_CHECKED, MAX_LINES, MAX_TTL_SECONDS
from inventory.stock.shapes import DemandedShape, DemandShape
from inventory.stock.vocabulary import State
from shop.toolkit.http.shapes import Flag, Id, PageQuery, QueryShape, Shape, StrictInteger, Text, Time, Units, many


class CheckQuery(QueryShape):
    product_id = Id()
    quantity = Units(default=1)


class BulkCheckShape(Shape):
    items = many(DemandShape, at_least=1, at_most=MAX_CHECKED)


class AvailabilityShape(Shape):
    product_id = serializers.IntegerField()
    quantity = serializers.IntegerField()
    available = serializers.BooleanField()
    available_quantity = serializers.IntegerField(help_text="Units that can be reserved.")


class CheckedItemShape(AvailabilityShape):
    is_on_sale = serializers.BooleanField(help_text="False for a product that is archived or unknown.")


class BulkAvailabilityShape(Shape):
    available = serializers.BooleanField(help_text="Whether all lines together can be reserved.")
    items = CheckedItemShape(many=True)


class PreviewRequestShape(Shape):
    items = many(DemandedShape, at_least=1, at_most=MAX_LINES)


class AllocationShape(Shape):
    product_id = serializers.IntegerField()
    warehouse = serializers.CharField()
    quantity = serializers.IntegerField()


class ShortageShape(Shape):
    product_id = serializers.IntegerField()
    requested = serializers.IntegerField()
    available = serializers.IntegerField()


class PreviewShape(Shape):
    allocations = AllocationShape(many=True)
    shortages = ShortageShape(many=True)


class TimeToLive(StrictInteger):
    """Seconds that a hold lasts, at most RESERVATION_MAX_AGE_SECONDS."""

    default_error_messages = {"too_long": "A hold lasts at most {most} seconds."}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(min_value=1, max_value=MAX_TTL_SECONDS, required=False, **kwargs)

    def run_validation(self, data: Any = serializers.empty) -> Any:
        seconds = super().run_validation(data)
        if seconds > settings.RESERVATION_MAX_AGE_SECONDS:
            self.fail("too_long", most=settings.RESERVATION_MAX_AGE_SECONDS)
        return seconds


class NewReservationShape(Shape):
    reference = Text(max_length=100)
    items = many(DemandedShape, at_least=1, at_most=MAX_LINES)
    ttl_seconds = TimeToLive()


class ExtendShape(Shape):
    ttl_seconds = TimeToLive(help_text="From now; when absent, RESERVATION_TTL_SECONDS or the rest of the maximum age.")


class PartShape(Shape):
    items = many(DemandedShape, at_least=1, at_most=MAX_LINES, required=False)


class FulfillPartShape(PartShape):
    out_of_turn = Flag(default=False, help_text="Ship although older promises wait for the units. Needs a permission.")


class ReservationLineShape(Shape):
    product_id = serializers.IntegerField()
    warehouse = serializers.CharField()
    quantity = serializers.IntegerField()
    open = serializers.IntegerField()
    fulfilled = serializers.IntegerField()
    released = serializers.IntegerField()
    returned = serializers.IntegerField()
    ready = serializers.IntegerField(help_text="Open units that can be shipped now; 0 unless confirmed.")


class ReservationShape(Shape):
    id = serializers.UUIDField()
    reference = serializers.CharField()
    state = serializers.CharField()
    created_at = Time()
    expires_at = Time(allow_null=True)
    ended_at = Time(allow_null=True)
    lines = ReservationLineShape(many=True)


class ReservationListQuery(PageQuery):
    state = serializers.ChoiceField(choices=State.values, required=False)
    reference = Text(max_length=100, required=False)
