"""What a stock row, an item and a reservation say besides: no reorder point, whether the row is shown, the key of the
SKU, and since when units are promised. Each column is added without touching a row."""

from django.db import migrations, models

# The release before this one does not show items without a reorder point while it runs beside it; it sells them.
NULLABLE = """
-- squawk-ignore ban-drop-not-null
ALTER TABLE inventory_stock ALTER COLUMN reorder_point DROP NOT NULL
"""


class Migration(migrations.Migration):
    dependencies = [("inventory", "0011_several_counts")]

    operations = [
        migrations.SeparateDatabaseAndState(
            [migrations.RunSQL(NULLABLE, "ALTER TABLE inventory_stock ALTER COLUMN reorder_point SET NOT NULL")],
            [
                migrations.AlterField(
                    model_name="stock",
                    name="reorder_point",
                    field=models.IntegerField(help_text="At or below it the stock is low; null is none.", null=True),
                )
            ],
        ),
        migrations.AddField(
            model_name="stock",
            name="is_listed",
            field=models.BooleanField(
                db_default=True,
                default=True,
                help_text="False once it was removed: it is shown while it holds units.",
            ),
        ),
        migrations.AddField(
            model_name="item",
            name="sku_key",
            field=models.CharField(db_default="", editable=False, help_text="Of the SKU in any case.", max_length=192),
        ),
        migrations.AddField(
            model_name="reservation",
            name="confirmed_at",
            field=models.DateTimeField(help_text="Since when its units are promised.", null=True),
        ),
        migrations.AlterModelOptions(
            name="reservation",
            options={"permissions": (("ship_out_of_turn", "Can ship before older promises"),)},
        ),
    ]
