from typing import Any

from django.conf import settings
from django.core.validators import RegexValidator
from rest_framework import serializers

from shop.toolkit.shapes import Flag, Id, PageQuery, QueryShape, Shape, StrictInteger, Text, Units, many

MAX_CHECKED = 500


class CheckQuery(QueryShape):
    product_id = Id()
    quantity = Units(default=1)


class DemandShape(Shape):
    product_id = Id()
    quantity = Units(default=1)


class BulkCheckShape(Shape):
    items = many(DemandShape, at_least=1, at_most=MAX_CHECKED)


class AvailabilityShape(Shape):
    product_id = serializers.IntegerField()
    quantity = serializers.IntegerField()
    available = serializers.BooleanField()
    available_quantity = serializers.SerializerMethodField(
        help_text="Units that can be reserved; never more than AVAILABLE_QUANTITY_CAP where that is set."
    )

    def get_available_quantity(self, availability: Any) -> int:
        cap = settings.AVAILABLE_QUANTITY_CAP
        quantity: int = availability.available_quantity
        return quantity if cap is None else min(quantity, cap)


class BulkAvailabilityShape(Shape):
    available = serializers.BooleanField(help_text="Whether all lines together can be served.")
    items = AvailabilityShape(many=True)


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
        validators=[RegexValidator(r"\A[A-Za-z0-9][A-Za-z0-9._-]*\Z", "Letters, digits, dot, dash and underscore.")],
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
    reorder_point = serializers.IntegerField()
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
    warehouse = Text(max_length=32, required=False)
    low_stock = Flag(required=False)
    search = Text(max_length=100, required=False)
