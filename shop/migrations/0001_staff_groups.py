"""The groups of staff. Here, at the composition root, since they are made of permissions of all apps."""

from django.apps import apps as real_apps
from django.contrib.auth.management import create_permissions
from django.db import migrations

VIEW_STOCK = (
    "inventory.view_item",
    "inventory.view_stock",
    "inventory.view_movement",
    "inventory.view_warehouse",
    "inventory.view_reservation",
    "inventory.view_stockimport",
    "inventory.view_count",
)
CHANGE_STOCK = ("inventory.change_stock", "inventory.add_count", "inventory.change_count")
GROUPS = {
    "Inventory viewer": VIEW_STOCK,
    "Inventory clerk": (*VIEW_STOCK, *CHANGE_STOCK),
    "Inventory manager": (
        *VIEW_STOCK,
        *CHANGE_STOCK,
        "inventory.add_stockimport",
        "inventory.undo_stockimport",
        "inventory.add_warehouse",
        "inventory.change_warehouse",
        "inventory.delete_warehouse",
        "inventory.view_warehousescope",
        "inventory.change_warehousescope",
        "inventory.add_reservation",
        "inventory.change_reservation",
    ),
    "Catalogue manager": (
        "products.view_product",
        "products.add_product",
        "products.change_product",
        "products.delete_product",
        "inventory.view_item",
    ),
    "Order desk": ("orders.view_order", "orders.change_order", "inventory.view_item", "products.view_product"),
}


def create_groups(apps, schema_editor):
    # Django makes permissions once all migrations are done; these are needed now.
    for config in real_apps.get_app_configs():
        create_permissions(config, verbosity=0, using=schema_editor.connection.alias, apps=apps)
    group_model, permission_model = apps.get_model("auth", "Group"), apps.get_model("auth", "Permission")
    for name, permissions in GROUPS.items():
        group, _ = group_model.objects.get_or_create(name=name)
        for permission in permissions:
            label, codename = permission.split(".")
            group.permissions.add(permission_model.objects.get(content_type__app_label=label, codename=codename))


class Migration(migrations.Migration):
    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("inventory", "0005_storage"),
        ("products", "0001_initial"),
        ("orders", "0002_one_way"),
        ("users", "0001_initial"),
    ]

    operations = [migrations.RunPython(create_groups, migrations.RunPython.noop)]
