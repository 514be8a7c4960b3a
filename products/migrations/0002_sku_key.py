"""A product has the key of its SKU. Beside inventory's columns, so that `rename_sku` works when the next one stops."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("products", "0001_initial"), ("inventory", "0012_levels_turns_keys")]

    operations = [
        migrations.AddField(
            model_name="product",
            name="sku_key",
            field=models.CharField(db_default="", editable=False, help_text="Of the SKU in any case.", max_length=192),
        )
    ]
