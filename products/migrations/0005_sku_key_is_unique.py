"""Two SKUs that differ in case are one."""

from django.db import migrations, models
from django.db.models import F


class Migration(migrations.Migration):
    atomic = False  # an index is made beside those who write; one a migration, so that it may be tried again

    dependencies = [("products", "0004_fill_in_sku_keys")]

    operations = [
        migrations.SeparateDatabaseAndState(
            [
                migrations.RunSQL(
                    "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS products_by_sku_key ON products_product (sku_key)",
                    "DROP INDEX CONCURRENTLY products_by_sku_key",
                )
            ],
            [
                migrations.AddConstraint(
                    model_name="product", constraint=models.UniqueConstraint(F("sku_key"), name="products_by_sku_key")
                )
            ],
        )
    ]
