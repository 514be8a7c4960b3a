"""What other shops shipped and had to mend, each under the name of what goes wrong. See docs/stock.md."""

import pytest

from inventory import services as inventory
from inventory.reservations import availability
from shop.toolkit.callers import SYSTEM
from tests import factories
from tests.conftest import fetch
from tests.racing import all_at_once, kinds, reserve
from tests.stock_rows import assert_books_are_right, overdue

pytestmark = pytest.mark.usefixtures("database")


@pytest.mark.alone
def test_check_and_write_are_not_two_steps():
    """Vendure, Medusa, InvenTree, Spree: two buyers both see the last unit and both get it."""
    product = factories.product(stock=1)

    assert kinds(all_at_once(reserve((product.id, 1)), reserve((product.id, 1)))) == {
        "Reservation": 1,
        "InsufficientStock": 1,
    }


def test_two_lines_of_one_product_are_not_each_checked_against_the_full_stock():
    """Saleor, Medusa, Vendure: 3 + 3 of 5 pass, since each 3 does."""
    product = factories.product(stock=5)

    with pytest.raises(inventory.InsufficientStock) as refused:
        factories.reservation((product.id, 3), (product.id, 3))
    assert refused.value.shortages == [inventory.Shortage(product.id, 6, 5)]


@pytest.mark.alone
def test_a_counter_does_not_drift_from_its_rows():
    """Medusa, Odoo, Saleor: what a level says is reserved and what reservations claim come apart."""
    product = factories.product(stock=30)
    holds = [factories.reservation((product.id, 1)) for _ in range(12)]
    overdue(*(hold.id for hold in holds[:4]))
    all_at_once(
        *(lambda hold=hold: inventory.confirm(hold.id, owner="test", caller=SYSTEM) for hold in holds[2:8]),
        *(lambda hold=hold: inventory.release(hold.id, owner="test", caller=SYSTEM) for hold in holds[6:10]),
        lambda: inventory.expire_due(limit=10),
        *(reserve((product.id, 2)) for _ in range(4)),
    )

    claimed = "SELECT sum(open) FROM inventory_reservationline"
    assert fetch("SELECT reserved + committed FROM inventory_stock") == fetch(claimed)
    assert_books_are_right()


def test_ten_and_three_are_thirteen():
    """Medusa and Vendure: a need of 13 is refused though two warehouses have 10 and 3."""
    factories.warehouse("EAST", priority=200)
    product = factories.product(stock={"MAIN": 10, "EAST": 3})

    assert availability.check([inventory.Demand(product.id, 13)])[0].available
    reserved = factories.reservation((product.id, 13))
    assert [(line.warehouse, line.quantity) for line in reserved.lines] == [("MAIN", 10), ("EAST", 3)]


def test_a_debt_in_one_warehouse_does_not_eat_the_stock_of_another():
    """Saleor: -4 and 3 are "none"."""
    factories.warehouse("EAST", priority=200)
    product = factories.product(stock={"MAIN": 6, "EAST": 3})
    fetch("UPDATE inventory_stock SET safety_stock = 10 WHERE on_hand = 6 RETURNING 1")

    assert availability.check([inventory.Demand(product.id, 3)])[0].available
    assert [line.warehouse for line in factories.reservation((product.id, 3)).lines] == ["EAST"]


def test_check_and_allocation_count_the_same_stock():
    """Medusa, Vendure, Saleor: what is shown as available and what can be had are two numbers."""
    factories.warehouse("EAST", priority=200)
    factories.warehouse("CLOSED", is_active=False)
    product = factories.product(stock={"MAIN": 5, "EAST": 4, "CLOSED": 9})
    fetch("UPDATE inventory_stock SET safety_stock = 1, backorder_limit = 2 WHERE on_hand = 5 RETURNING 1")
    shown = availability.check([inventory.Demand(product.id, 1)])[0].available_quantity

    with pytest.raises(inventory.InsufficientStock):
        factories.reservation((product.id, shown + 1))
    factories.reservation((product.id, shown))


def test_a_level_is_not_clamped_behind_the_ledgers_back():
    """Vendure: a loss larger than the stock makes the level 0 and the ledger something else."""
    product = factories.product(stock=3)

    with pytest.raises(inventory.InsufficientStock):
        inventory.adjust(
            product_id=product.id, warehouse="MAIN", delta=-5, reason="lost", note="", reference="", caller=SYSTEM
        )
    assert fetch("SELECT s.on_hand, m.on_hand FROM inventory_stock s JOIN inventory_movement m USING (product_id)") == [
        (3, 3)
    ]


def test_two_releases_of_one_row_are_both_booked():
    """Saleor: releasing two holds of one stock row together loses one."""
    product = factories.product(stock=9)
    overdue(factories.reservation((product.id, 4)).id, factories.reservation((product.id, 5)).id)

    inventory.expire_due(limit=10)

    assert fetch("SELECT on_hand, reserved FROM inventory_stock") == [(9, 0)]


def test_stock_is_not_set_by_someone_who_does_not_know_what_it_was(staff):
    """All but Shopify: a form that was open for an hour overwrites an hour of sales."""
    product = factories.product(stock=10)
    path = f"/api/v1/inventory/items/{product.id}/adjustments"

    blind = staff.post(path, {"warehouse": "MAIN", "mode": "set", "quantity": 10})
    stale = staff.post(path, {"warehouse": "MAIN", "mode": "set", "quantity": 10, "expected_on_hand": 12})

    assert blind.json()["errors"][0]["field"] == "expected_on_hand"
    assert (stale.status_code, stale.json()["current"]) == (409, 10)


def test_a_field_that_is_not_understood_is_not_ignored(staff):
    """Medusa: a column of an import that nobody reads is dropped in silence."""
    product = factories.product(stock=10)
    body = {"warehouse": "MAIN", "mode": "adjust", "quantity": 1, "qty": 5}

    response = staff.post(f"/api/v1/inventory/items/{product.id}/adjustments", body)

    assert response.json()["errors"][0]["field"] == "qty"
    assert fetch("SELECT on_hand FROM inventory_stock") == [(10,)]
