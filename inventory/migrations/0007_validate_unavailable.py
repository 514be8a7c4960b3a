"""Looks at each stock row while the shop goes on: validating a constraint locks out nobody who reads or writes. Rows
that broke in the moment before the constraint came are named first."""

from importlib import import_module

from django.contrib.postgres.operations import ValidateConstraint
from django.db import migrations

BEFORE = import_module("inventory.migrations.0006_unavailable_is_on_hand")


class Migration(migrations.Migration):
    dependencies = [("inventory", "0006_unavailable_is_on_hand")]

    operations = [
        migrations.RunPython(BEFORE.refuse_broken_rows, migrations.RunPython.noop),
        ValidateConstraint(model_name="stock", name="inventory_unavailable_is_on_hand"),
    ]
