"""Clearer help texts. Only the state of the models changes: there is no SQL."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("products", "0008_products_by_words"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AlterField(
                    model_name="product",
                    name="sku_key",
                    field=models.CharField(
                        db_default="", editable=False, help_text="The SKU in a form that ignores case.", max_length=192
                    ),
                ),
            ],
        ),
    ]
