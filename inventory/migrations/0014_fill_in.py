"""Keys of SKUs; a reorder point of 0, which was none, is null; what was confirmed before has a time. Some thousand rows
to a transaction, so that nobody waits; begun again, it goes on where it stopped."""

from django.db import migrations, transaction
from django.db.models import F

from shop.toolkit.skus import sku_key

AT_ONCE = 5000


def fill_in(apps, schema_editor):
    alias = schema_editor.connection.alias
    items = apps.get_model("inventory", "Item").objects.using(alias)
    while batch := list(items.filter(sku_key="").order_by("pk")[:AT_ONCE]):
        for item in batch:
            item.sku_key = sku_key(item.sku)
        with transaction.atomic(alias):
            items.bulk_update(batch, ["sku_key"])
    stocks = apps.get_model("inventory", "Stock").objects.using(alias)
    while keys := list(stocks.filter(reorder_point=0).order_by("pk").values_list("pk", flat=True)[:AT_ONCE]):
        stocks.filter(pk__in=keys, reorder_point=0).update(reorder_point=None)
    promised = apps.get_model("inventory", "Reservation").objects.using(alias).filter(state="confirmed")
    while keys := list(promised.filter(confirmed_at__isnull=True).values_list("pk", flat=True)[:AT_ONCE]):
        promised.filter(pk__in=keys).update(confirmed_at=F("created_at"))


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("inventory", "0013_item_has_sku_key")]

    operations = [migrations.RunPython(fill_in, migrations.RunPython.noop)]
