"""Two SKUs that differ in case are one."""

from django.db import migrations, models
from django.db.models import F


class Migration(migrations.Migration):
    atomic = False  # an index is made beside those who write; one a migration, so that it may be tried again

    dependencies = [("inventory", "0014_fill_in")]

    operations = [
        migrations.SeparateDatabaseAndState(
            [
                migrations.RunSQL(
                    "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS inventory_item_by_sku_key"
                    " ON inventory_item (sku_key)",
                    "DROP INDEX CONCURRENTLY inventory_item_by_sku_key",
                )
            ],
            [
                migrations.AddConstraint(
                    model_name="item",
                    constraint=models.UniqueConstraint(F("sku_key"), name="inventory_item_by_sku_key"),
                )
            ],
        )
    ]
