"""The order desk confirms orders as before, and a group for the account by which a payment service does."""

from django.apps import apps as real_apps
from django.contrib.auth.management import create_permissions
from django.db import migrations

GROUPS = {
    "Order desk": ("orders.confirm_order",),
    "Payments": ("orders.view_order", "orders.confirm_order"),
}


def grant(apps, schema_editor):
    # Django makes permissions once all migrations are done; these are needed now.
    create_permissions(real_apps.get_app_config("orders"), verbosity=0, using=schema_editor.connection.alias, apps=apps)
    group_model, permission_model = apps.get_model("auth", "Group"), apps.get_model("auth", "Permission")
    for name, permissions in GROUPS.items():
        group, _ = group_model.objects.get_or_create(name=name)
        for permission in permissions:
            label, codename = permission.split(".")
            group.permissions.add(permission_model.objects.get(content_type__app_label=label, codename=codename))


class Migration(migrations.Migration):
    dependencies = [("shop", "0002_verdict"), ("orders", "0003_who_confirms")]

    operations = [migrations.RunPython(grant, migrations.RunPython.noop)]
