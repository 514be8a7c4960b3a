"""An index of the orders that wait to be confirmed or to expire."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    atomic = False  # an index is made beside those who write; one a migration, so that it may be tried again

    dependencies = [("orders", "0003_who_confirms")]

    operations = [
        AddIndexConcurrently(
            model_name="order", index=models.Index(fields=["id"], condition=Q(status="pending"), name="orders_pending")
        )
    ]
