"""Who manages the stock may decide that a younger order is shipped first."""

from django.apps import apps as real_apps
from django.contrib.auth.management import create_permissions
from django.db import migrations


def grant(apps, schema_editor):
    # Django makes permissions once all migrations are done; this one is needed now.
    create_permissions(
        real_apps.get_app_config("inventory"), verbosity=0, using=schema_editor.connection.alias, apps=apps
    )
    managers = apps.get_model("auth", "Group").objects.filter(name="Inventory manager").first()
    if managers is None:  # a shop may have renamed or removed it
        return
    permissions = apps.get_model("auth", "Permission").objects
    managers.permissions.add(permissions.get(content_type__app_label="inventory", codename="ship_out_of_turn"))


class Migration(migrations.Migration):
    dependencies = [("shop", "0004_order_desk"), ("inventory", "0012_levels_turns_keys")]

    operations = [migrations.RunPython(grant, migrations.RunPython.noop)]
