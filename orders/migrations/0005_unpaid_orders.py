"""An index of the orders that were promised and not paid."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    atomic = False  # an index is made beside those who write; one a migration, so that it may be tried again

    dependencies = [("orders", "0004_pending_orders")]

    operations = [
        AddIndexConcurrently(
            model_name="order",
            index=models.Index(
                fields=["user"],
                condition=Q(payment_reference="", status__in=["confirmed", "partially_fulfilled"]),
                name="orders_unpaid",
            ),
        )
    ]
