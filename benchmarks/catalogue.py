"""A catalogue of any size, written straight into the tables: products, stock in each warehouse, a ledger behind it."""

from dataclasses import dataclass

from benchmarks import psql

UNITS = 1_000_000  # of each movement, so that no measurement sells out


@dataclass(frozen=True)
class Scale:
    """How large a shop is; each stock row has the same number of movements, at least one."""

    products: int = 1_000
    warehouses: int = 1
    movements: int = 1_000

    @property
    def movements_per_row(self) -> int:
        return max(1, self.movements // (self.products * self.warehouses))

    def __str__(self) -> str:
        return f"{self.products:,} products x {self.warehouses} warehouses, {self.movements:,} movements"


SEED = """
INSERT INTO inventory_warehouse (code, name, priority, is_active)
SELECT 'W' || n, '', 100 + n, true FROM generate_series(2, {warehouses}) n;
INSERT INTO products_product (sku, sku_key, name, description, price, currency, is_active, created_at, updated_at)
SELECT 'SKU-' || lpad(n::text, 7, '0'), 'sku-' || lpad(n::text, 7, '0'), 'Product ' || n, '', 9.90,
       'EUR', true, now(), now()
  FROM generate_series(1, {products}) n;
INSERT INTO inventory_item (product_id, sku, sku_key, name, is_active, created_at)
SELECT id, sku, sku_key, name, true, now() FROM products_product;
-- One more that is sold out.
INSERT INTO products_product (sku, sku_key, name, description, price, currency, is_active, created_at, updated_at)
VALUES ('SOLD-OUT', 'sold-out', 'Sold out', '', 9.90, 'EUR', true, now(), now());
INSERT INTO inventory_item (product_id, sku, sku_key, name, is_active, created_at)
SELECT id, sku, sku_key, name, true, now() FROM products_product WHERE sku = 'SOLD-OUT';
INSERT INTO inventory_stock (product_id, warehouse_id, on_hand, reserved, committed, unavailable, safety_stock,
    backorder_limit, reorder_point, seq)
SELECT id, 1, 0, 0, 0, 0, 0, 0, 0, 0 FROM products_product WHERE sku = 'SOLD-OUT';
-- Right by construction; checking each row's foreign keys would take most of the time.
SET session_replication_role = replica;
INSERT INTO inventory_stock (product_id, warehouse_id, on_hand, reserved, committed, unavailable, safety_stock,
    backorder_limit, reorder_point, seq)
SELECT p, w, {length} * {units}, 0, 0, 0, 0, 0, 0, {length}
  FROM generate_series(1, {products}) p, generate_series(1, {warehouses}) w;
INSERT INTO inventory_movement (product_id, warehouse_id, seq, kind, reason, reference, note, created_at,
    on_hand_delta, reserved_delta, committed_delta, unavailable_delta, on_hand, reserved, committed, unavailable)
SELECT p, w, n, 'receive', 'received', '', '', now() - ({length} - n + 1) * interval '1 year' / {length},
       {units}, 0, 0, 0, n * {units}, 0, 0, 0
  FROM generate_series(1, {length}) n, generate_series(1, {products}) p, generate_series(1, {warehouses}) w;
"""


# Not the others: a vacuum would tell the planner that they are empty, which it does not know of a new shop's.
FILLED = "products_product, inventory_warehouse, inventory_item, inventory_stock, inventory_movement"


def fill(url: str, scale: Scale) -> None:
    """Fill the migrated, empty database at `url`, on a server of our own (it takes a superuser)."""
    length = scale.movements_per_row
    units = min(UNITS, 1_000_000_000 // length)
    seed = SEED.format(products=scale.products, warehouses=scale.warehouses, length=length, units=units)
    psql(
        url,
        f"SET statement_timeout = 0; {seed}",
        f"VACUUM ANALYZE {FILLED}",
        "CHECKPOINT",
    )
