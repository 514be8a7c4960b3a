from django.db import migrations


def create_main(apps, schema_editor):
    """A fresh database has one warehouse, so that the first product can have stock."""
    apps.get_model("inventory", "Warehouse").objects.get_or_create(code="MAIN", defaults={"name": "Main warehouse"})


class Migration(migrations.Migration):
    dependencies = [("inventory", "0001_initial")]

    operations = [migrations.RunPython(create_main, migrations.RunPython.noop)]
