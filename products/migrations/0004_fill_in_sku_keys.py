"""Keys of SKUs, some thousand to a transaction, so that nobody waits; begun again, it goes on where it stopped."""

from django.db import migrations, transaction

from shop.toolkit.skus import sku_key

AT_ONCE = 5000


def fill_in(apps, schema_editor):
    alias = schema_editor.connection.alias
    products = apps.get_model("products", "Product").objects.using(alias)
    last = 0
    while last is not None:
        with transaction.atomic(alias):
            waiting = products.select_for_update(no_key=True).filter(sku_key="", pk__gt=last).order_by("pk")
            batch = list(waiting[:AT_ONCE])
            for product in batch:
                product.sku_key = sku_key(product.sku)
            products.bulk_update(batch, ["sku_key"], batch_size=500)
        last = batch[-1].pk if batch else None


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("products", "0003_skus_are_distinct")]

    operations = [migrations.RunPython(fill_in, migrations.RunPython.noop)]
