"""What only a trigger can hold: the ledger is only ever added to, and never ahead of its stock row. In a migration of
their own, since a distributed PostgreSQL refuses triggers; there, granting INSERT and SELECT alone does the first, and
`verify_stock` finds the second."""

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

CREATE FUNCTION inventory_refuse_ledger_ahead() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM added JOIN inventory_stock s USING (product_id, warehouse_id) WHERE s.seq < added.seq
    ) THEN
        RAISE EXCEPTION 'a movement without its stock row is refused'
            USING ERRCODE = 'restrict_violation', HINT = 'Update the row and write the movement in one statement.';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER inventory_movement_not_ahead
    AFTER INSERT ON inventory_movement REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION inventory_refuse_ledger_ahead();
"""

DROP = """
DROP TRIGGER inventory_movement_not_ahead ON inventory_movement;
DROP FUNCTION inventory_refuse_ledger_ahead();
DROP TRIGGER inventory_movement_append_only ON inventory_movement;
DROP FUNCTION inventory_refuse_ledger_change();
"""


class Migration(migrations.Migration):
    dependencies = [("inventory", "0003_ledger_chain")]

    operations = [migrations.RunSQL(CREATE, DROP)]
