"""Looks at each stock row while the shop goes on: validating a constraint locks out nobody who reads or writes."""

from django.contrib.postgres.operations import ValidateConstraint
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("inventory", "0006_unavailable_is_on_hand")]

    operations = [ValidateConstraint(model_name="stock", name="inventory_unavailable_is_on_hand")]
