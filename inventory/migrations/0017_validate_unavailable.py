"""Units that are unavailable are on hand. Rows that break it stop the upgrade, with the command that repairs each.
Validating a constraint locks out nobody who reads or writes."""

import shlex

from django.contrib.postgres.operations import ValidateConstraint
from django.core.management.base import CommandError
from django.db import migrations

BROKEN = """
SELECT i.sku, w.code, s.on_hand, s.unavailable
  FROM inventory_stock s JOIN inventory_item i USING (product_id) JOIN inventory_warehouse w ON w.id = s.warehouse_id
 WHERE s.unavailable > s.on_hand ORDER BY i.sku, w.code
"""


def refuse_broken_rows(apps, schema_editor):
    """Raise CommandError naming each row with more unavailable than on hand, and the command that repairs it."""
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(BROKEN)
        rows = cursor.fetchall()
    if not rows:
        return
    lines = [
        f"  {sku} in {code}: {unavailable} unavailable, {on_hand} on hand\n"
        f"    manage.py adjust_stock {shlex.quote(sku)} {shlex.quote(code)} --unavailable={on_hand - unavailable}"
        for sku, code, on_hand, unavailable in rows
    ]
    raise CommandError(
        "These stock rows have more units unavailable than on hand, which is no longer allowed. No stock was changed. "
        "Run the command below each row, then migrate again.\n" + "\n".join(lines)
    )


class Migration(migrations.Migration):
    dependencies = [("inventory", "0016_validate_sku_key")]

    operations = [
        migrations.RunPython(refuse_broken_rows, migrations.RunPython.noop),
        ValidateConstraint(model_name="stock", name="inventory_unavailable_is_on_hand"),
    ]
