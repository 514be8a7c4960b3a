"""Indexes of the orders that wait to be confirmed, and of those that were promised and not paid."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    atomic = False  # an index is made beside those who write

    dependencies = [("orders", "0003_who_confirms")]

    operations = [
        AddIndexConcurrently(
            model_name="order",
            index=models.Index(fields=["id"], condition=Q(status="pending"), name="orders_pending"),
        ),
        AddIndexConcurrently(
            model_name="order",
            index=models.Index(
                fields=["user"],
                condition=Q(payment_reference="", status__in=["confirmed", "partially_fulfilled"]),
                name="orders_unpaid",
            ),
        ),
    ]
