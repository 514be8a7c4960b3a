"""Whoever could confirm orders by the right to change them still may, and there is a group for the account by which a
payment service confirms them."""

from django.apps import apps as real_apps
from django.contrib.auth.management import create_permissions
from django.db import migrations

PAYMENTS = ("view_order", "confirm_order")


def grant(apps, schema_editor):
    # Django makes permissions once all migrations are done; these are needed now.
    create_permissions(real_apps.get_app_config("orders"), verbosity=0, using=schema_editor.connection.alias, apps=apps)
    permissions = apps.get_model("auth", "Permission").objects.filter(content_type__app_label="orders")
    confirm, change = permissions.get(codename="confirm_order"), permissions.get(codename="change_order")
    for model in (apps.get_model("auth", "Group"), apps.get_model("users", "User")):
        field = "permissions" if model.__name__ == "Group" else "user_permissions"
        for row in model.objects.filter(**{field: change}):
            getattr(row, field).add(confirm)
    payments, _ = apps.get_model("auth", "Group").objects.get_or_create(name="Payments")
    payments.permissions.add(*permissions.filter(codename__in=PAYMENTS))


class Migration(migrations.Migration):
    dependencies = [("shop", "0002_verdict"), ("orders", "0003_who_confirms"), ("users", "0001_initial")]

    operations = [migrations.RunPython(grant, migrations.RunPython.noop)]
