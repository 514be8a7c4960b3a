import json
from typing import Any

from django.conf import settings
from django.core.validators import RegexValidator
from rest_framework import serializers

from inventory import services as inventory
from shop.toolkit.converters import CODE
from shop.toolkit.parsers import unique_keys
from shop.toolkit.shapes import (
    MAX_LEVEL,
    Flag,
    Id,
    Level,
    PageQuery,
    QueryShape,
    Shape,
    StrictInteger,
    Text,
    Time,
    Units,
    many,
)

MAX_CHECKED = 500
MAX_LINES = 1000
MAX_TTL_SECONDS = 24 * 60 * 60


class CheckQuery(QueryShape):
    product_id = Id()
    quantity = Units(default=1)


class DemandShape(Shape):
    product_id = Id()
    quantity = Units(default=1)


class DemandedShape(Shape):
    product_id = Id()
    quantity = Units()


class BulkCheckShape(Shape):
    items = many(DemandShape, at_least=1, at_most=MAX_CHECKED)


class AvailabilityShape(Shape):
    product_id = serializers.IntegerField()
    quantity = serializers.IntegerField()
    available = serializers.BooleanField()
    available_quantity = serializers.IntegerField(help_text="Units that can be reserved.")


class CheckedItemShape(AvailabilityShape):
    is_on_sale = serializers.BooleanField(help_text="False for a product that is archived or was never there.")


class BulkAvailabilityShape(Shape):
    available = serializers.BooleanField(help_text="Whether all lines together can be served.")
    items = CheckedItemShape(many=True)


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
    is_active = serializers.BooleanField(help_text="Of the warehouse: nothing is sold from an inactive one.")
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
        choices=[sign + field for field in inventory.ORDERINGS for sign in ("", "-")], required=False
    )
    warehouse = Text(max_length=32, required=False)
    low_stock = Flag(required=False)
    search = Text(max_length=100, required=False)


class ItemQuery(QueryShape):
    as_of = Time(required=False, help_text="Show the quantities of this time; policy is today's.")


class PolicyShape(Shape):
    safety_stock = Level(required=False)
    reorder_point = Level(required=False, allow_null=True, help_text="0 is a point as well; null takes it away.")
    backorder_limit = Level(required=False)


class AdjustmentShape(Shape):
    """`adjust` adds `quantity` to what is on hand; `set` makes it `quantity`, if `expected_on_hand` is on hand now.

    `unavailable` takes `quantity` units that are there out of sale, or back into it when it is negative; `discard`
    writes off `quantity` units that are unavailable.
    """

    warehouse = Text(max_length=32)
    mode = serializers.ChoiceField(choices=["adjust", "set", "unavailable", "discard"])
    quantity = StrictInteger(min_value=-MAX_LEVEL, max_value=MAX_LEVEL)
    expected_on_hand = Level(required=False, allow_null=True, help_text="With `set`; null opts out, and is logged.")
    reason = serializers.ChoiceField(choices=inventory.MANUAL_REASONS, default="correction")
    note = Text(max_length=500, allow_blank=True, default="")
    reference = Text(max_length=100, allow_blank=True, default="")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["mode"] != "set" and attrs["quantity"] == 0:
            raise serializers.ValidationError({"quantity": ["An adjustment of 0 changes nothing."]}, code="zero")
        if attrs["mode"] != "set" and "expected_on_hand" in attrs:
            message = "This goes with the mode `set`; an adjustment is relative."
            raise serializers.ValidationError({"expected_on_hand": [message]}, code="not_with_adjust")
        if attrs["mode"] in ("set", "discard") and attrs["quantity"] < 0:
            raise serializers.ValidationError({"quantity": ["Here it is 0 or more."]}, code="min_value")
        if attrs["mode"] == "set" and "expected_on_hand" not in attrs:
            message = "Say what you believe is on hand, so that nobody's change is lost; null opts out."
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
    import_id = serializers.UUIDField(allow_null=True, help_text="Of the import that made it.")
    created_at = Time()


class MovementListQuery(PageQuery):
    warehouse = Text(max_length=32, required=False)
    kind = serializers.ChoiceField(choices=inventory.KINDS, required=False)


class TransferShape(Shape):
    from_warehouse = Text(max_length=32)
    to_warehouse = Text(max_length=32)
    items = many(DemandedShape, at_least=1, at_most=MAX_LINES)
    note = Text(max_length=500, allow_blank=True, default="")


class PostedMovementsShape(Shape):
    movements = MovementShape(many=True)


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
    ttl_seconds = TimeToLive(
        help_text="From now on; RESERVATION_TTL_SECONDS, or what the hold may still last, when absent."
    )


class PartShape(Shape):
    items = many(DemandedShape, at_least=1, at_most=MAX_LINES, required=False)


class FulfillPartShape(PartShape):
    out_of_turn = Flag(default=False, help_text="Ship although older promises wait for the units; takes a permission.")


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
    state = serializers.ChoiceField(choices=inventory.STATES, required=False)
    reference = Text(max_length=100, required=False)


class MappingField(Text):
    """A JSON object of column names and the fields they are."""

    default_error_messages = {"not_mapping": 'A JSON object is needed, such as {{"StockCode": "sku"}}.'}

    def to_internal_value(self, data: Any) -> Any:
        try:
            mapping = json.loads(super().to_internal_value(data), object_pairs_hook=unique_keys)
        except (ValueError, RecursionError):
            self.fail("not_mapping")
        if not isinstance(mapping, dict) or not all(isinstance(field, str) for field in mapping.values()):
            self.fail("not_mapping")
        return mapping


class UploadShape(QueryShape):
    file = serializers.FileField(help_text="CSV, CSV in gzip, or .xlsx.")
    mode = serializers.ChoiceField(choices=inventory.MODES, default="set", help_text="What the quantities are.")
    on_error = serializers.ChoiceField(
        choices=["abort", "skip"], default="abort", help_text="Whether one refused row refuses all."
    )
    dry_run = Flag(default=False, help_text="Say what would change, and change nothing. Large ones are answered 202.")
    again = Flag(default=False, help_text="Load a file that was loaded before.")
    warehouse = Text(max_length=32, required=False, help_text="For a file without a column of warehouses.")
    map = MappingField(required=False, max_length=10_000, help_text="Which column is which field, as a JSON object.")
    note = Text(max_length=500, allow_blank=True, default="", help_text="For the movements of rows without one.")


class ImportUnitsShape(Shape):
    warehouse = serializers.CharField()
    units_in = serializers.IntegerField()
    units_out = serializers.IntegerField()


class LargestChangeShape(Shape):
    line = serializers.IntegerField()
    sku = serializers.CharField()
    warehouse = serializers.CharField()
    before = serializers.IntegerField()
    after = serializers.IntegerField()


class RefusedRowShape(Shape):
    line = serializers.IntegerField()
    column = serializers.CharField()
    value = serializers.CharField()
    detail = serializers.CharField(help_text="What would be right.")


class ImportShape(Shape):
    id = serializers.UUIDField()
    status = serializers.ChoiceField(choices=inventory.IMPORT_STATUSES)
    mode = serializers.ChoiceField(choices=inventory.MODES)
    on_error = serializers.CharField()
    dry_run = serializers.BooleanField()
    undoes = serializers.UUIDField(allow_null=True, help_text="The import that this one takes back.")
    undone_by = serializers.UUIDField(allow_null=True, help_text="The import that took this one back.")
    file_name = serializers.CharField()
    understood_as = serializers.CharField(help_text="Encoding, separator, layout: what was found out.")
    note = serializers.CharField()
    actor_id = serializers.IntegerField(allow_null=True, help_text="Null for one by the command line.")
    created_at = Time()
    finished_at = Time(allow_null=True)
    rows = serializers.IntegerField()
    skipped = serializers.IntegerField(help_text="Rows that say nothing of stock.")
    done = serializers.IntegerField(help_text="Rows that are dealt with, of `rows`.")
    new = serializers.IntegerField()
    changed = serializers.IntegerField()
    unchanged = serializers.IntegerField()
    refused = serializers.IntegerField()
    warehouses = ImportUnitsShape(many=True)
    largest = LargestChangeShape(many=True, help_text="The twenty largest changes.")
    refused_rows = RefusedRowShape(many=True, help_text="The first twenty refused rows.")


class ExportQuery(QueryShape):
    warehouse = Text(max_length=32, required=False)
    low_stock = Flag(required=False)
    search = Text(max_length=100, required=False)
