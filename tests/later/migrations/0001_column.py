from django.db import migrations


class Migration(migrations.Migration):
    dependencies = (("inventory", "0005_storage"),)
    operations = (
        migrations.RunSQL(
            "ALTER TABLE inventory_stock ADD COLUMN shelf text NOT NULL DEFAULT ''",
            "ALTER TABLE inventory_stock DROP COLUMN shelf",
        ),
    )
