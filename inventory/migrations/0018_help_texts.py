"""Clearer help texts. Only the state of the models changes: there is no SQL."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("inventory", "0017_validate_unavailable"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AlterField(
                    model_name="count",
                    name="is_abandoned",
                    field=models.BooleanField(
                        db_default=False, help_text="Whether it ended without posting its open lines."
                    ),
                ),
                migrations.AlterField(
                    model_name="countline",
                    name="book",
                    field=models.IntegerField(help_text="Units on hand by the ledger at the moment of the entry."),
                ),
                migrations.AlterField(
                    model_name="countline",
                    name="book_seq",
                    field=models.BigIntegerField(
                        db_default=0, help_text="The number of the newest movement at the moment of the entry."
                    ),
                ),
                migrations.AlterField(
                    model_name="countline",
                    name="posted_at",
                    field=models.DateTimeField(help_text="When the line corrected or confirmed the stock.", null=True),
                ),
                migrations.AlterField(
                    model_name="importrow",
                    name="fault",
                    field=models.CharField(
                        blank=True, help_text="Why the row is refused, and how to correct it.", max_length=1000
                    ),
                ),
                migrations.AlterField(
                    model_name="importrow",
                    name="line",
                    field=models.IntegerField(help_text="The line number in the file; the first line is 1."),
                ),
                migrations.AlterField(
                    model_name="importrow",
                    name="unavailable",
                    field=models.IntegerField(
                        db_default=0, help_text="For an undo: units that become unavailable again."
                    ),
                ),
                migrations.AlterField(
                    model_name="item",
                    name="sku_key",
                    field=models.CharField(
                        db_default="", editable=False, help_text="The SKU in a form that ignores case.", max_length=192
                    ),
                ),
                migrations.AlterField(
                    model_name="movement",
                    name="import_id",
                    field=models.UUIDField(help_text="The import that made this movement.", null=True),
                ),
                migrations.AlterField(
                    model_name="reservation",
                    name="confirmed_at",
                    field=models.DateTimeField(help_text="When its units were promised.", null=True),
                ),
                migrations.AlterField(
                    model_name="reservation",
                    name="expires_at",
                    field=models.DateTimeField(
                        help_text="The deadline while it is held; without effect once it is confirmed."
                    ),
                ),
                migrations.AlterField(
                    model_name="reservation",
                    name="owner",
                    field=models.CharField(
                        help_text="The creator, which alone may change it: orders or the API.", max_length=32
                    ),
                ),
                migrations.AlterField(
                    model_name="reservationline",
                    name="returned",
                    field=models.IntegerField(default=0, help_text="Units returned out of those fulfilled."),
                ),
                migrations.AlterField(
                    model_name="stock",
                    name="is_listed",
                    field=models.BooleanField(
                        db_default=True,
                        default=True,
                        help_text="False after removal; the row is then shown only while it has units.",
                    ),
                ),
                migrations.AlterField(
                    model_name="stock",
                    name="reorder_point",
                    field=models.IntegerField(
                        help_text="The stock is low at or below this number; null for none.", null=True
                    ),
                ),
                migrations.AlterField(
                    model_name="stock",
                    name="seq",
                    field=models.BigIntegerField(
                        default=0, help_text="The number of the newest movement; 0 before the first."
                    ),
                ),
                migrations.AlterField(
                    model_name="stockimport",
                    name="again",
                    field=models.BooleanField(
                        default=False, help_text="Whether it was loaded even if the same file was loaded before."
                    ),
                ),
                migrations.AlterField(
                    model_name="stockimport",
                    name="columns",
                    field=models.JSONField(help_text="The column names of the file, for the file of refused rows."),
                ),
                migrations.AlterField(
                    model_name="stockimport",
                    name="file_hash",
                    field=models.CharField(blank=True, help_text="The SHA-256 of the file.", max_length=64),
                ),
                migrations.AlterField(
                    model_name="stockimport",
                    name="is_reviewed",
                    field=models.BooleanField(
                        default=False, help_text="Whether this is a dry run that can be approved after a review."
                    ),
                ),
                migrations.AlterField(
                    model_name="stockimport",
                    name="options",
                    field=models.JSONField(
                        default=dict, help_text="The options of the request, which must match to resume the import."
                    ),
                ),
                migrations.AlterField(
                    model_name="stockimport",
                    name="places",
                    field=models.JSONField(help_text="The index of the column of each field."),
                ),
                migrations.AlterField(
                    model_name="stockimport",
                    name="position",
                    field=models.IntegerField(default=0, help_text="The last line that was processed."),
                ),
                migrations.AlterField(
                    model_name="stockimport",
                    name="skipped",
                    field=models.IntegerField(default=0, help_text="Rows without stock, such as rows of images."),
                ),
                migrations.AlterField(
                    model_name="stockimport",
                    name="skips_refused",
                    field=models.BooleanField(
                        help_text="Whether refused rows are skipped. Otherwise one refuses the whole file."
                    ),
                ),
                migrations.AlterField(
                    model_name="stockimport",
                    name="understood_as",
                    field=models.CharField(help_text="The detected encoding, separator and layout.", max_length=500),
                ),
                migrations.AlterField(
                    model_name="warehouse",
                    name="priority",
                    field=models.PositiveIntegerField(
                        default=100, help_text="Orders are served from the lowest number first."
                    ),
                ),
            ],
        ),
    ]
