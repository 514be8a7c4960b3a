from django.db import migrations


class Migration(migrations.Migration):
    dependencies = (("later", "0002_index"),)
    operations = (
        migrations.RunSQL(
            "ALTER TABLE orders_order ADD CONSTRAINT later_total CHECK (total >= 0) NOT VALID",
            "ALTER TABLE orders_order DROP CONSTRAINT later_total",
        ),
    )
