"""Several counts of a warehouse may be open, since no row is corrected twice: the index that forbade it goes. The
way back needs all but one of them closed."""

from django.db import migrations

ONCE = "inventory_count_open_once"


class Migration(migrations.Migration):
    atomic = False  # an index is dropped beside those who write

    dependencies = [("inventory", "0010_validate_counts")]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[migrations.RemoveConstraint(model_name="count", name=ONCE)],
            database_operations=[
                migrations.RunSQL(
                    f"DROP INDEX CONCURRENTLY IF EXISTS {ONCE}",
                    f"CREATE UNIQUE INDEX CONCURRENTLY {ONCE} ON inventory_count (warehouse_id)"
                    " WHERE closed_at IS NULL",
                )
            ],
        )
    ]
