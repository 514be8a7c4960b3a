"""The ledger is only ever added to. In a migration of its own: a distributed PostgreSQL refuses triggers, and would do
the same by granting INSERT and SELECT alone."""

from django.db import migrations

CREATE = """
CREATE FUNCTION inventory_refuse_ledger_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the ledger is append-only: % of % is refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation', HINT = 'Post a movement that corrects the earlier one.';
END $$;
CREATE TRIGGER inventory_movement_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON inventory_movement
    FOR EACH STATEMENT EXECUTE FUNCTION inventory_refuse_ledger_change();
"""

DROP = """
DROP TRIGGER inventory_movement_append_only ON inventory_movement;
DROP FUNCTION inventory_refuse_ledger_change();
"""


class Migration(migrations.Migration):
    dependencies = [("inventory", "0002_main_warehouse")]

    operations = [migrations.RunSQL(CREATE, DROP)]
