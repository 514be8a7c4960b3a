"""Stock rows and holds, written past the services where a test needs it, and the checks of `verify_stock` over them."""

from uuid import UUID

from shop import verification
from tests.conftest import fetch


def assert_books_are_right() -> None:
    """Fail with the names of the checks that find something; what a test server is set to is no matter."""
    found = {name for name, finding in verification.checks() if finding} - {"guard_settings"}
    assert not found, found


def overdue(*reservation_ids: UUID) -> None:
    past = "expires_at = clock_timestamp() - interval '1 second'"
    fetch(f"UPDATE inventory_reservation SET {past} WHERE id = ANY(%s) RETURNING 1", list(reservation_ids))


def set_stock(product_id: int, warehouse: str, **levels: int) -> None:
    columns = ", ".join(f"{name} = {value}" for name, value in levels.items())
    fetch(
        f"UPDATE inventory_stock SET {columns} WHERE product_id = %s"
        " AND warehouse_id = (SELECT id FROM inventory_warehouse WHERE code = %s) RETURNING 1",
        product_id,
        warehouse,
    )
