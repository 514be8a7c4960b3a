"""Lines of counts that were closed before are posted ones. For open counts the movement is looked up after which a line
was counted, so that only what was corrected since must be counted again."""

from django.contrib.postgres.operations import ValidateConstraint
from django.db import migrations

POSTED = """
UPDATE inventory_countline l SET posted_at = c.closed_at
  FROM inventory_count c WHERE c.id = l.count_id AND c.closed_at IS NOT NULL AND l.posted_at IS NULL
"""
COUNTED = """
UPDATE inventory_countline l SET book_seq = COALESCE((
       SELECT max(m.seq) FROM inventory_movement m
        WHERE m.product_id = l.product_id AND m.warehouse_id = c.warehouse_id AND m.created_at <= l.counted_at), 0)
  FROM inventory_count c WHERE c.id = l.count_id AND c.closed_at IS NULL AND l.book_seq = 0
"""


class Migration(migrations.Migration):
    dependencies = [("inventory", "0009_count_closes_whole")]

    operations = [
        migrations.RunSQL([POSTED, COUNTED], migrations.RunSQL.noop),
        ValidateConstraint(model_name="count", name="inventory_count_abandoned_is_closed"),
    ]
