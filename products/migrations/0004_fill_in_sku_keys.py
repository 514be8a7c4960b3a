"""Keys of SKUs, some thousand to a transaction, so that nobody waits; begun again, it goes on where it stopped."""

from django.db import migrations, transaction

from shop.toolkit.skus import sku_key

AT_ONCE = 5000


def fill_in(apps, schema_editor):
    alias = schema_editor.connection.alias
    products = apps.get_model("products", "Product").objects.using(alias)
    while batch := list(products.filter(sku_key="").order_by("pk")[:AT_ONCE]):
        for product in batch:
            product.sku_key = sku_key(product.sku)
        with transaction.atomic(alias):
            products.bulk_update(batch, ["sku_key"])


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("products", "0003_skus_are_distinct")]

    operations = [migrations.RunPython(fill_in, migrations.RunPython.noop)]
