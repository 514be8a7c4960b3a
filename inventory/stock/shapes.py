from typing import Any

from django.core.validators import RegexValidator
from rest_framework import serializers

from inventory.stock import items
from inventory.stock.limits import MAX_LEVEL, MAX_LINES
from inventory.stock.vocabulary import Kind, Reason
from shop.toolkit.http.converters import CODE
from shop.toolkit.http.shapes import Flag, Id, PageQuery, QueryShape, Shape, StrictInteger, Text, Time, Units, many


class LevelField(StrictInteger):
    """A stock level: 0 to 1,000,000,000."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(min_value=0, max_value=MAX_LEVEL, **kwargs)


class DemandShape(Shape):
    product_id = Id()
    quantity = Units(default=1)


class DemandedShape(Shape):
    product_id = Id()
    quantity = Units()


class WarehouseShape(Shape):
    id = serializers.IntegerField()
    code = serializers.CharField()
    name = serializers.CharField()
    priority = serializers.IntegerField()
    is_active = serializers.BooleanField()


class WarehouseChangeShape(Shape):
    name = Text(max_length=200, allow_blank=True, required=False)
    priority = StrictInteger(min_value=0, max_value=1_000_000, required=False)
    is_active = Flag(required=False)


class NewWarehouseShape(Shape):
    code = Text(
        max_length=32,
        validators=[RegexValidator(rf"\A{CODE}\Z", "Letters, digits, dot, dash and underscore.")],
    )
    name = Text(max_length=200, allow_blank=True, default="")
    priority = StrictInteger(min_value=0, max_value=1_000_000, default=100)
    is_active = Flag(default=True)


class StockShape(Shape):
    warehouse = serializers.CharField()
    on_hand = serializers.IntegerField()
    reserved = serializers.IntegerField()
    committed = serializers.IntegerField()
    unavailable = serializers.IntegerField()
    safety_stock = serializers.IntegerField()
    available = serializers.IntegerField()
    low_stock = serializers.BooleanField()
    is_active = serializers.BooleanField(
        help_text="Whether the warehouse is active. Nothing is sold from an inactive one."
    )
    reorder_point = serializers.IntegerField(allow_null=True, help_text="Null when none is set.")
    backorder_limit = serializers.IntegerField()


class ItemShape(Shape):
    product_id = serializers.IntegerField()
    sku = serializers.CharField()
    name = serializers.CharField()
    on_hand = serializers.IntegerField()
    reserved = serializers.IntegerField()
    committed = serializers.IntegerField()
    unavailable = serializers.IntegerField()
    safety_stock = serializers.IntegerField()
    available = serializers.IntegerField()
    low_stock = serializers.BooleanField()


class ItemDetailShape(ItemShape):
    stocks = StockShape(many=True)


class ItemListQuery(PageQuery):
    ordering = serializers.ChoiceField(
        choices=[sign + field for field in items.ORDERINGS for sign in ("", "-")], required=False
    )
    warehouse = Text(max_length=32, required=False)
    low_stock = Flag(required=False)
    search = Text(max_length=100, required=False)


class ItemQuery(QueryShape):
    as_of = Time(required=False, help_text="The quantities at this time; the policy is today's.")


class PolicyShape(Shape):
    safety_stock = LevelField(required=False)
    reorder_point = LevelField(required=False, allow_null=True, help_text="0 is a valid point; null removes it.")
    backorder_limit = LevelField(required=False)


class AdjustmentShape(Shape):
    """`adjust` adds `quantity` to the units on hand. `set` sets them to it, if `expected_on_hand` is on hand now.

    `unavailable` makes `quantity` units on hand unavailable, or available again when it is negative. `discard` writes
    off `quantity` unavailable units.
    """

    warehouse = Text(max_length=32)
    mode = serializers.ChoiceField(choices=["adjust", "set", "unavailable", "discard"])
    quantity = StrictInteger(min_value=-MAX_LEVEL, max_value=MAX_LEVEL)
    expected_on_hand = LevelField(
        required=False, allow_null=True, help_text="With `set`; null skips the comparison, and is logged."
    )
    reason = serializers.ChoiceField(choices=Reason.MANUAL, default="correction")
    note = Text(max_length=500, allow_blank=True, default="")
    reference = Text(max_length=100, allow_blank=True, default="")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["mode"] != "set" and attrs["quantity"] == 0:
            raise serializers.ValidationError({"quantity": ["An adjustment of 0 changes nothing."]}, code="zero")
        if attrs["mode"] != "set" and "expected_on_hand" in attrs:
            message = "Send it with the mode `set` only; an adjustment is relative."
            raise serializers.ValidationError({"expected_on_hand": [message]}, code="not_with_adjust")
        if attrs["mode"] in ("set", "discard") and attrs["quantity"] < 0:
            raise serializers.ValidationError({"quantity": ["Here it is 0 or more."]}, code="min_value")
        if attrs["mode"] == "set" and "expected_on_hand" not in attrs:
            message = (
                "Send the units that you believe are on hand, so that no change is lost; null skips the comparison."
            )
            raise serializers.ValidationError({"expected_on_hand": [message]}, code="required")
        return attrs


class MovementShape(Shape):
    id = serializers.CharField()
    product_id = serializers.IntegerField()
    warehouse = serializers.CharField()
    seq = serializers.IntegerField()
    kind = serializers.CharField()
    reason = serializers.CharField()
    on_hand_delta = serializers.IntegerField()
    reserved_delta = serializers.IntegerField()
    committed_delta = serializers.IntegerField()
    unavailable_delta = serializers.IntegerField()
    on_hand = serializers.IntegerField()
    reserved = serializers.IntegerField()
    committed = serializers.IntegerField()
    unavailable = serializers.IntegerField()
    reference = serializers.CharField()
    actor_id = serializers.IntegerField(allow_null=True)
    note = serializers.CharField()
    import_id = serializers.UUIDField(allow_null=True, help_text="The import that made it.")
    created_at = Time()


class MovementListQuery(PageQuery):
    warehouse = Text(max_length=32, required=False)
    kind = serializers.ChoiceField(choices=Kind.values, required=False)


class TransferShape(Shape):
    from_warehouse = Text(max_length=32)
    to_warehouse = Text(max_length=32)
    items = many(DemandedShape, at_least=1, at_most=MAX_LINES)
    note = Text(max_length=500, allow_blank=True, default="")


class PostedMovementsShape(Shape):
    movements = MovementShape(many=True)


class PromiseShape(Shape):
    product_id = serializers.IntegerField()
    warehouse = serializers.CharField()
    quantity = serializers.IntegerField()
    reservation_id = serializers.UUIDField()
    reference = serializers.CharField()
    state = serializers.CharField()
    expires_at = Time(allow_null=True)
    is_overdue = serializers.BooleanField()


class ExplanationShape(Shape):
    item = ItemDetailShape()
    holds = PromiseShape(many=True)
    orders = PromiseShape(many=True)
