from typing import Any

from rest_framework import serializers

from inventory import services as inventory
from orders.models import MAX_PAYMENT_REFERENCE, MAX_REASON, Event, Status
from shop.toolkit import days
from shop.toolkit.http.shapes import Amount, Flag, Id, PageQuery, Shape, Text, Time, TimeBound, Units, many


class WishShape(Shape):
    product_id = Id()
    quantity = Units()
    unit_price = Amount(
        default=None, allow_null=True, help_text="The price that the buyer saw. If it has changed, the answer is 409."
    )


class CheckoutShape(Shape):
    items = many(WishShape, at_least=1, at_most=inventory.MAX_LINES)
    user_id = Id(required=False, help_text="The buyer, when staff place the order.")


class PricedWishShape(Shape):
    product_id = Id()
    quantity = Units()
    unit_price = Amount()
    total_price = Amount()

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["total_price"] != attrs["unit_price"] * attrs["quantity"]:
            message = f"{attrs['quantity']} x {attrs['unit_price']} is {attrs['quantity'] * attrs['unit_price']}."
            raise serializers.ValidationError({"total_price": [message]}, code="wrong_total")
        return attrs


class PlacedOrderShape(Shape):
    user_id = Id()
    items = many(PricedWishShape, at_least=1, at_most=inventory.MAX_LINES)


class CancelShape(Shape):
    reason = Text(max_length=MAX_REASON, allow_blank=True, default="")


class ConfirmShape(Shape):
    payment_reference = Text(max_length=MAX_PAYMENT_REFERENCE, allow_blank=True, default="")


class ShippedShape(Shape):
    product_id = Id()
    quantity = Units()


class FulfillShape(Shape):
    items = many(ShippedShape, at_least=1, at_most=inventory.MAX_LINES, required=False)
    out_of_turn = Flag(default=False, help_text="Ship although older promises wait for the units. Needs a permission.")


class ReturnShape(Shape):
    items = many(ShippedShape, at_least=1, at_most=inventory.MAX_LINES)
    resalable = Flag(default=True, help_text="Whether the units can be sold again. Otherwise they become unavailable.")
    note = Text(max_length=500, allow_blank=True, default="")


class ShareShape(Shape):
    warehouse = serializers.CharField()
    quantity = serializers.IntegerField()


class OrderLineShape(Shape):
    product_id = serializers.IntegerField()
    sku = serializers.CharField()
    name = serializers.CharField()
    quantity = serializers.IntegerField()
    unit_price = Amount()
    total_price = Amount()
    fulfilled = serializers.IntegerField()
    returned = serializers.IntegerField()
    cancelled = serializers.IntegerField()
    waiting = serializers.IntegerField(
        help_text="Promised units that have not arrived, or that older promises take first."
    )
    allocations = ShareShape(many=True)


class OrderEventShape(Shape):
    event = serializers.ChoiceField(choices=Event.choices)
    actor_id = serializers.IntegerField(allow_null=True)
    reason = serializers.CharField()
    created_at = Time()


class OrderShape(Shape):
    id = serializers.UUIDField()
    number = serializers.CharField()
    user_id = serializers.IntegerField()
    status = serializers.ChoiceField(choices=Status.choices)
    currency = serializers.CharField()
    total = Amount()
    expires_at = Time(allow_null=True)
    payment_reference = serializers.CharField()
    items = OrderLineShape(many=True)
    events = OrderEventShape(many=True)
    created_at = Time()
    updated_at = Time()


class OrderListQuery(PageQuery):
    status = serializers.ChoiceField(choices=Status.choices, required=False)
    created_from = TimeBound(
        of_day=days.start_of, required=False, help_text="A time, or a day in the shop's time zone. Included."
    )
    created_to = TimeBound(
        of_day=days.end_of, required=False, help_text="A time, which is not included, or a day, which is."
    )
    search = Text(
        max_length=254, required=False, help_text="An order number or a SKU; for staff, an email address too."
    )
