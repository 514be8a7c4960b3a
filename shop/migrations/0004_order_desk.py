"""The order desk places orders for customers, and looks them up to do so."""

from django.apps import apps as real_apps
from django.contrib.auth.management import create_permissions
from django.db import migrations

PERMISSIONS = (("orders", "add_order"), ("users", "view_user"))


def grant(apps, schema_editor):
    # Django makes permissions once all migrations are done; these are needed now.
    for label, _ in PERMISSIONS:
        create_permissions(
            real_apps.get_app_config(label), verbosity=0, using=schema_editor.connection.alias, apps=apps
        )
    desk = apps.get_model("auth", "Group").objects.filter(name="Order desk").first()
    if desk is None:  # a shop may have renamed or removed it
        return
    permissions = apps.get_model("auth", "Permission").objects
    for label, codename in PERMISSIONS:
        desk.permissions.add(permissions.get(content_type__app_label=label, codename=codename))


class Migration(migrations.Migration):
    dependencies = [("shop", "0003_who_confirms"), ("orders", "0005_unpaid_orders"), ("users", "0001_initial")]

    operations = [migrations.RunPython(grant, migrations.RunPython.noop)]
