"""What only a trigger can hold: the ledger is only ever added to, and never ahead of its stock row. In a migration of
their own, since a distributed PostgreSQL refuses triggers; there, granting INSERT and SELECT alone does the first, and
`verify_stock` finds the second."""

from django.db import migrations

# States move one way only. The conditions stand in WHEN, so the function is called for a violation alone.
ONE_WAY = """
CREATE FUNCTION inventory_refuse_way_back() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a way back is refused: % of %', TG_OP, TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER inventory_reservation_one_way BEFORE UPDATE ON inventory_reservation FOR EACH ROW
    WHEN (OLD.state <> NEW.state AND NOT (
        OLD.state = 'held' AND NEW.state IN ('confirmed', 'released', 'expired')
        OR OLD.state = 'confirmed' AND NEW.state IN ('fulfilled', 'released')))
    EXECUTE FUNCTION inventory_refuse_way_back();
CREATE TRIGGER inventory_line_one_way BEFORE UPDATE ON inventory_reservationline FOR EACH ROW
    WHEN (NEW.fulfilled < OLD.fulfilled OR NEW.released < OLD.released OR NEW.returned < OLD.returned)
    EXECUTE FUNCTION inventory_refuse_way_back();
CREATE TRIGGER inventory_count_one_way BEFORE UPDATE ON inventory_count FOR EACH ROW
    WHEN (OLD.closed_at IS NOT NULL) EXECUTE FUNCTION inventory_refuse_way_back();
"""
NO_ONE_WAY = """
DROP TRIGGER inventory_count_one_way ON inventory_count;
DROP TRIGGER inventory_line_one_way ON inventory_reservationline;
DROP TRIGGER inventory_reservation_one_way ON inventory_reservation;
DROP FUNCTION inventory_refuse_way_back();
"""

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
    -- A subquery for each row, not a join: the plan is kept for as long as the connection, and one that was made while
    -- the tables were empty would read all of them for each movement.
    IF EXISTS (
        SELECT FROM added WHERE added.seq > (
            SELECT s.seq FROM inventory_stock s
             WHERE s.product_id = added.product_id AND s.warehouse_id = added.warehouse_id)
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

    operations = [migrations.RunSQL(CREATE, DROP), migrations.RunSQL(ONE_WAY, NO_ONE_WAY)]
