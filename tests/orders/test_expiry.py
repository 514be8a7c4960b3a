"""Holds past their deadline end, and the orders that hung on them."""

from shop import tasks
from tests import factories
from tests.conftest import fetch


def test_what_is_due_ends_and_nothing_else(database):
    product = factories.product(stock=250)
    for _ in range(3):
        factories.reservation((product.id, 1))
    fetch("UPDATE inventory_reservation SET expires_at = now() - interval '1 s' WHERE true RETURNING 1")
    factories.reservation((product.id, 1))

    tasks.expire_holds()

    assert fetch("SELECT reserved FROM inventory_stock") == [(1,)]
    assert fetch("SELECT state, count(*) FROM inventory_reservation GROUP BY state ORDER BY state") == [
        ("expired", 3),
        ("held", 1),
    ]
