"""Room in each page for the next versions of its rows: with no index on a quantity, updates of hot rows then stay in
their page (heap-only) and leave the indexes alone. Vacuum comes early, since such rows change thousands of times."""

from django.db import migrations

SET = """
ALTER TABLE inventory_stock SET (
    fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 200
);
"""

RESET = "ALTER TABLE inventory_stock RESET (fillfactor, autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold);"


class Migration(migrations.Migration):
    dependencies = [("inventory", "0004_ledger_triggers")]

    operations = [migrations.RunSQL(SET, RESET)]
