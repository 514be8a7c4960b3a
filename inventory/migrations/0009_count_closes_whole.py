"""A count closes when all of its lines are posted, or when it is abandoned. A trigger, so in a migration of its own.
While the release before this one runs beside it, that cannot close a count: it would post posted lines again."""

from django.db import migrations

CREATE = """
CREATE FUNCTION inventory_refuse_open_lines() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM inventory_countline WHERE count_id = NEW.id AND posted_at IS NULL) THEN
        RAISE EXCEPTION 'a count with open lines is not closed'
            USING ERRCODE = 'restrict_violation', HINT = 'Post its lines, or abandon it.';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER inventory_count_closes_whole BEFORE UPDATE ON inventory_count FOR EACH ROW
    WHEN (OLD.closed_at IS NULL AND NEW.closed_at IS NOT NULL AND NOT NEW.is_abandoned)
    EXECUTE FUNCTION inventory_refuse_open_lines();
"""

DROP = """
DROP TRIGGER inventory_count_closes_whole ON inventory_count;
DROP FUNCTION inventory_refuse_open_lines();
"""


class Migration(migrations.Migration):
    dependencies = [("inventory", "0008_counts")]

    operations = [migrations.RunSQL(CREATE, DROP)]
