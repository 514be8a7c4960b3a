"""The ledger is a chain and the stock row is its head: foreign keys over seq and balances together, which Django has no
words for. What they cost a checkout, and what a trigger in their place would, is in docs/performance.md."""

from django.db import migrations

CHAIN = """
ALTER TABLE inventory_movement
    ADD CONSTRAINT inventory_movement_chain
        FOREIGN KEY (product_id, warehouse_id, prev_seq, prev_on_hand, prev_reserved, prev_committed, prev_unavailable)
        REFERENCES inventory_movement (product_id, warehouse_id, seq, on_hand, reserved, committed, unavailable),
    -- The row is locked and updated before its movement is written, so this never waits and never upgrades a lock.
    ADD CONSTRAINT inventory_movement_of_stock
        FOREIGN KEY (product_id, warehouse_id) REFERENCES inventory_stock (product_id, warehouse_id);
-- Deferred: within a transaction the row may run ahead of its ledger, at its end it may not.
ALTER TABLE inventory_stock
    ADD CONSTRAINT inventory_stock_is_head
        FOREIGN KEY (product_id, warehouse_id, head_seq, on_hand, reserved, committed, unavailable)
        REFERENCES inventory_movement (product_id, warehouse_id, seq, on_hand, reserved, committed, unavailable)
        DEFERRABLE INITIALLY DEFERRED;
"""

UNCHAIN = """
ALTER TABLE inventory_stock DROP CONSTRAINT inventory_stock_is_head;
ALTER TABLE inventory_movement DROP CONSTRAINT inventory_movement_of_stock, DROP CONSTRAINT inventory_movement_chain;
"""


class Migration(migrations.Migration):
    dependencies = [("inventory", "0002_main_warehouse")]

    operations = [migrations.RunSQL(CHAIN, UNCHAIN)]
