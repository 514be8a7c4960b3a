"""Every item has the key of its SKU by now."""

from django.contrib.postgres.operations import ValidateConstraint
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("inventory", "0015_sku_key_is_unique")]

    operations = [ValidateConstraint(model_name="item", name="inventory_item_has_sku_key")]
