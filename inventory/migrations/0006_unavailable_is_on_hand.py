"""Units that are unavailable are on hand. The constraint is added without looking at the rows; 0017 does that, once
the columns are there that the command needs which repairs a row."""

from django.contrib.postgres.operations import AddConstraintNotValid
from django.db import migrations, models
from django.db.models import F, Q


class Migration(migrations.Migration):
    dependencies = [("inventory", "0005_storage")]

    operations = [
        AddConstraintNotValid(
            model_name="stock",
            constraint=models.CheckConstraint(
                condition=Q(on_hand__gte=F("unavailable")), name="inventory_unavailable_is_on_hand"
            ),
        ),
    ]
