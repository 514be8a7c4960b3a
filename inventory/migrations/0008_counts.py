"""Counts that are posted line by line, and abandoned; and what an undo of an import gives back as unavailable."""

from django.contrib.postgres.operations import AddConstraintNotValid
from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("inventory", "0007_validate_unavailable")]

    operations = [
        migrations.AddField(
            model_name="count",
            name="is_abandoned",
            field=models.BooleanField(db_default=False, help_text="Whether it ended without posting what was left."),
        ),
        AddConstraintNotValid(
            model_name="count",
            constraint=models.CheckConstraint(
                condition=Q(is_abandoned=False) | Q(closed_at__isnull=False), name="inventory_count_abandoned_is_closed"
            ),
        ),
        migrations.AddField(
            model_name="countline",
            name="book_seq",
            field=models.BigIntegerField(db_default=0, help_text="Of the newest movement when it was counted."),
        ),
        migrations.AddField(
            model_name="countline",
            name="posted_at",
            field=models.DateTimeField(
                null=True, help_text="When the stock was corrected by it, or found to be right."
            ),
        ),
        migrations.AddField(
            model_name="importrow",
            name="unavailable",
            field=models.IntegerField(db_default=0, help_text="Of an undo: units that go back to being unavailable."),
        ),
    ]
