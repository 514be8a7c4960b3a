import json
from typing import Any

from rest_framework import serializers

from inventory.imports.vocabulary import ImportStatus, Mode
from shop.toolkit.http.parsers import unique_keys
from shop.toolkit.http.shapes import Flag, QueryShape, Shape, Text, Time


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
    mode = serializers.ChoiceField(choices=Mode.choices, default="set", help_text="What the quantities mean.")
    on_error = serializers.ChoiceField(
        choices=["abort", "skip"], default="abort", help_text="Whether one refused row refuses the file."
    )
    dry_run = Flag(
        default=False, help_text="Report what would change, and change nothing. A large file is answered 202."
    )
    again = Flag(default=False, help_text="Load a file that was already loaded.")
    warehouse = Text(max_length=32, required=False, help_text="For a file without a column of warehouses.")
    map = MappingField(required=False, max_length=10_000, help_text="Which column is which field, as a JSON object.")
    note = Text(max_length=500, allow_blank=True, default="", help_text="The note of movements whose row has none.")


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
    detail = serializers.CharField(help_text="What the cell must contain.")


class ImportShape(Shape):
    id = serializers.UUIDField()
    status = serializers.ChoiceField(choices=ImportStatus.choices)
    mode = serializers.ChoiceField(choices=Mode.choices)
    on_error = serializers.CharField()
    dry_run = serializers.BooleanField()
    undoes = serializers.UUIDField(allow_null=True, help_text="The import that this one undoes.")
    undone_by = serializers.UUIDField(allow_null=True, help_text="The import that undid this one.")
    file_name = serializers.CharField()
    understood_as = serializers.CharField(help_text="The detected encoding, separator and layout.")
    note = serializers.CharField()
    actor_id = serializers.IntegerField(allow_null=True, help_text="Null for an import by the command line.")
    created_at = Time()
    finished_at = Time(allow_null=True)
    rows = serializers.IntegerField()
    skipped = serializers.IntegerField(help_text="Rows without stock data.")
    done = serializers.IntegerField(help_text="Processed rows, of `rows`.")
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
