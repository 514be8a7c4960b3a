"""SKUs have no invisible characters, and two that differ in case are one. Products that break it stop the upgrade, with
the command that renames each. The constraints are added without looking at the rows; from here on the release before
this one makes no products."""

import shlex
from collections import defaultdict

from django.contrib.postgres.operations import AddConstraintNotValid
from django.core.management.base import CommandError
from django.db import migrations, models
from django.db.models import Q

from shop.toolkit.skus import NOT_CLEAN, fault_of, from_cell, normal, sku_key


def refuse_broken_skus(apps, schema_editor):
    """Raise CommandError naming each product whose SKU is none, or is another's, and the command that renames it."""
    products = apps.get_model("products", "Product").objects.using(schema_editor.connection.alias)
    by_key = defaultdict(list)
    for product_id, sku in products.order_by("pk").values_list("pk", "sku").iterator():
        by_key[sku_key(from_cell(sku))].append((product_id, sku))
    lines = []
    for found in by_key.values():
        for place, (product_id, sku) in enumerate(found):
            said = fault_of(sku) or (None if sku == normal(sku) else "it is not in Unicode's composed form (NFC)")
            if place:
                said = f"product {found[0][0]} has the same SKU, {found[0][1]!r}"
            if said:
                better = from_cell(sku) + (f"-{place + 1}" if place else "")
                lines.append(f"  product {product_id}, {sku!r}: {said}")
                lines.append(f"    manage.py rename_sku {product_id} {shlex.quote(better)}")
    if lines:
        raise CommandError(
            "These products have SKUs that are no longer allowed. Nothing was changed. Run the command below each, "
            "with a SKU that suits you, then migrate again.\n" + "\n".join(lines)
        )


class Migration(migrations.Migration):
    dependencies = [("products", "0002_sku_key")]
    run_before = [("inventory", "0013_item_has_sku_key")]

    operations = [
        migrations.RunPython(refuse_broken_skus, migrations.RunPython.noop),
        AddConstraintNotValid(
            model_name="product",
            constraint=models.CheckConstraint(condition=~Q(sku__regex=NOT_CLEAN), name="products_sku_is_clean"),
        ),
        AddConstraintNotValid(
            model_name="product",
            constraint=models.CheckConstraint(condition=~Q(sku_key=""), name="products_has_sku_key"),
        ),
    ]
