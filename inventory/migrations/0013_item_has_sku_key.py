"""An item has the key of its SKU. Products' migration has seen that no two are the same; from here on the release
before this one makes no products."""

from django.contrib.postgres.operations import AddConstraintNotValid
from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("inventory", "0012_levels_turns_keys")]

    operations = [
        AddConstraintNotValid(
            model_name="item",
            constraint=models.CheckConstraint(condition=~Q(sku_key=""), name="inventory_item_has_sku_key"),
        )
    ]
