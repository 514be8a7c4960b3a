"""Who may confirm orders is a permission of its own, and an expired order may be cancelled."""

from django.db import migrations

BEFORE = """
CREATE OR REPLACE TRIGGER orders_order_one_way BEFORE UPDATE ON orders_order FOR EACH ROW
    WHEN (OLD.status <> NEW.status AND NOT (
        OLD.status = 'pending' AND NEW.status IN ('confirmed', 'cancelled', 'expired')
        OR OLD.status = 'expired' AND NEW.status = 'confirmed'
        OR OLD.status = 'confirmed' AND NEW.status IN ('partially_fulfilled', 'fulfilled', 'cancelled')
        OR OLD.status = 'partially_fulfilled' AND NEW.status IN ('fulfilled', 'cancelled')))
    EXECUTE FUNCTION orders_refuse_way_back();
"""
AFTER = BEFORE.replace("NEW.status = 'confirmed'", "NEW.status IN ('confirmed', 'cancelled')")


class Migration(migrations.Migration):
    dependencies = [("orders", "0002_one_way"), ("inventory", "0006_unavailable_is_on_hand")]

    operations = [
        migrations.AlterModelOptions(name="order", options={"permissions": (("confirm_order", "Can confirm orders"),)}),
        migrations.RunSQL(AFTER, BEFORE),
    ]
