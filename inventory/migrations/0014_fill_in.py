"""Keys of SKUs; a reorder point of 0, which was none, is null; what was confirmed before has a time. Some thousand rows
to a transaction, so that nobody waits; begun again, it goes on where it stopped."""

from django.db import migrations, transaction
from django.db.models import F

from shop.toolkit.skus import sku_key

AT_ONCE = 5000


def fill_in(apps, schema_editor):
    alias = schema_editor.connection.alias
    items = apps.get_model("inventory", "Item").objects.using(alias)
    last = 0
    while last is not None:
        with transaction.atomic(alias):
            waiting = items.select_for_update(no_key=True).filter(sku_key="", pk__gt=last).order_by("pk")
            batch = list(waiting[:AT_ONCE])
            for item in batch:
                item.sku_key = sku_key(item.sku)
            items.bulk_update(batch, ["sku_key"], batch_size=500)
        last = batch[-1].pk if batch else None
    stocks = apps.get_model("inventory", "Stock").objects.using(alias)
    while keys := list(stocks.filter(reorder_point=0).order_by("pk").values_list("pk", flat=True)[:AT_ONCE]):
        stocks.filter(pk__in=keys, reorder_point=0).update(reorder_point=None)
    promised = apps.get_model("inventory", "Reservation").objects.using(alias).filter(state="confirmed")
    while keys := list(promised.filter(confirmed_at__isnull=True).values_list("pk", flat=True)[:AT_ONCE]):
        promised.filter(pk__in=keys).update(confirmed_at=F("created_at"))


def take_out(apps, schema_editor):
    """Give rows without a reorder point the 0 that was none."""
    stocks = apps.get_model("inventory", "Stock").objects.using(schema_editor.connection.alias)
    while keys := list(stocks.filter(reorder_point__isnull=True).values_list("pk", flat=True)[:AT_ONCE]):
        stocks.filter(pk__in=keys).update(reorder_point=0)


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("inventory", "0013_item_has_sku_key")]

    operations = [migrations.RunPython(fill_in, take_out)]
