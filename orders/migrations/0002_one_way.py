"""An order moves one way only. A trigger, so in a migration of its own; the condition stands in WHEN, so that the
function is called for a violation alone."""

from django.db import migrations

CREATE = """
CREATE FUNCTION orders_refuse_way_back() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a way back is refused: % to %', OLD.status, NEW.status USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER orders_order_one_way BEFORE UPDATE ON orders_order FOR EACH ROW
    WHEN (OLD.status <> NEW.status AND NOT (
        OLD.status = 'pending' AND NEW.status IN ('confirmed', 'cancelled', 'expired')
        OR OLD.status = 'expired' AND NEW.status = 'confirmed'
        OR OLD.status = 'confirmed' AND NEW.status IN ('partially_fulfilled', 'fulfilled', 'cancelled')
        OR OLD.status = 'partially_fulfilled' AND NEW.status IN ('fulfilled', 'cancelled')))
    EXECUTE FUNCTION orders_refuse_way_back();
"""

DROP = """
DROP TRIGGER orders_order_one_way ON orders_order;
DROP FUNCTION orders_refuse_way_back();
"""


class Migration(migrations.Migration):
    dependencies = [("orders", "0001_initial")]

    operations = [migrations.RunSQL(CREATE, DROP)]
