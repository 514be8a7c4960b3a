from django.conf import settings
from rest_framework import serializers

from inventory import services as inventory
from products.catalogue import ORDERINGS
from products.models import MAX_DESCRIPTION, MAX_NAME
from shop.toolkit.http.shapes import Amount, CurrencyCode, Flag, PageQuery, Shape, StrictInteger, Text, Time, many
from shop.toolkit.skus import MAX_SKU

MAX_WAREHOUSES = 200


class InitialStockShape(Shape):
    warehouse = Text(max_length=32)
    quantity = StrictInteger(min_value=0, max_value=inventory.MAX_LEVEL)


class NewProductShape(Shape):
    sku = Text(max_length=MAX_SKU)
    name = Text(max_length=MAX_NAME)
    description = Text(max_length=MAX_DESCRIPTION, allow_blank=True, default="")
    price = Amount()
    currency = CurrencyCode(default=lambda: settings.DEFAULT_CURRENCY)
    initial_stock = many(InitialStockShape, at_least=0, at_most=MAX_WAREHOUSES)


class ProductChangeShape(Shape):
    sku = Text(max_length=MAX_SKU, required=False)
    name = Text(max_length=MAX_NAME, required=False)
    description = Text(max_length=MAX_DESCRIPTION, allow_blank=True, required=False)
    price = Amount(required=False)
    currency = CurrencyCode(required=False)
    is_active = Flag(required=False)


class ProductShape(Shape):
    id = serializers.IntegerField()
    sku = serializers.CharField()
    name = serializers.CharField()
    description = serializers.CharField()
    price = Amount()
    currency = serializers.CharField()
    is_active = serializers.BooleanField()
    created_at = Time()
    updated_at = Time()


class InventoryStockShape(Shape):
    warehouse = serializers.CharField()
    on_hand = serializers.IntegerField()
    available = serializers.IntegerField()


class InventoryShape(Shape):
    """The inventory item of the product, as `/inventory/items/{product_id}` shows it."""

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
    stocks = InventoryStockShape(many=True)


class CreatedProductShape(ProductShape):
    inventory = InventoryShape(source="item")


class ProductListQuery(PageQuery):
    search = Text(max_length=100, required=False)
    currency = CurrencyCode(required=False)
    is_active = Flag(required=False)
    ordering = serializers.ChoiceField(
        choices=[sign + field for field in ORDERINGS for sign in ("", "-")], required=False
    )
