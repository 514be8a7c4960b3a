"""Every SKU is clean and has its key by now."""

from django.contrib.postgres.operations import ValidateConstraint
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("products", "0005_sku_key_is_unique")]

    operations = [
        ValidateConstraint(model_name="product", name="products_sku_is_clean"),
        ValidateConstraint(model_name="product", name="products_has_sku_key"),
    ]
