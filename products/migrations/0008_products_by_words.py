"""An index of the words of a product, wherever they stand."""

from django.db import migrations


class Migration(migrations.Migration):
    atomic = False  # an index is made beside those who write; one a migration, so that it may be tried again

    dependencies = [("products", "0007_trigrams")]

    operations = [
        migrations.RunSQL(
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS products_by_words ON products_product USING gin "
            "((upper(sku || ' ' || name || ' ' || description)) gin_trgm_ops)",
            "DROP INDEX CONCURRENTLY products_by_words",
        )
    ]
