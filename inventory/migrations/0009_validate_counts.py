"""Looks at each count while people go on; the lines of counts that were closed before are posted ones."""

from django.contrib.postgres.operations import ValidateConstraint
from django.db import migrations

POSTED = """
UPDATE inventory_countline l SET posted_at = c.closed_at
  FROM inventory_count c WHERE c.id = l.count_id AND c.closed_at IS NOT NULL AND l.posted_at IS NULL
"""


class Migration(migrations.Migration):
    dependencies = [("inventory", "0008_counts")]

    operations = [
        migrations.RunSQL(POSTED, migrations.RunSQL.noop),
        ValidateConstraint(model_name="count", name="inventory_count_abandoned_is_closed"),
    ]
