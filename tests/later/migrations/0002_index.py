from django.db import migrations


class Migration(migrations.Migration):
    atomic = False
    dependencies = (("later", "0001_column"),)
    operations = (
        migrations.RunSQL(
            "CREATE INDEX CONCURRENTLY later_order_total ON orders_order (total)",
            "DROP INDEX CONCURRENTLY later_order_total",
        ),
    )
