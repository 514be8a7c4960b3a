from datetime import timedelta

from django.utils import timezone

from inventory.stock import history, ledger, warehouses
from shop.toolkit.callers import SYSTEM, User
from shop.toolkit.db import transactions
from tests import factories
from tests.conftest import counted_statements


def test_the_stock_is_told_from_the_first_movement_to_now(database):
    factories.warehouse("EAST")
    mug = factories.product(stock={"MAIN": 10, "EAST": 5})
    factories.reservation((mug.id, 4))
    transactions.run(
        lambda: ledger.set_apart(
            product_id=mug.id, warehouse="EAST", delta=2, reason="damaged", note="", reference="", caller=SYSTEM
        )
    )

    points = history.stock_history(mug.id, now=timezone.now(), caller=SYSTEM)

    assert (points[0].on_hand, points[0].promised, points[0].unavailable) == (15, 0, 0)
    assert (points[-1].on_hand, points[-1].promised, points[-1].unavailable) == (15, 4, 2)
    assert [point.at for point in points] == sorted(point.at for point in points)


def test_of_a_long_ledger_the_last_months_are_told(database):
    mug = factories.product(stock=7)
    now = timezone.now() + timedelta(days=400)
    points = history.stock_history(mug.id, now=now, caller=SYSTEM)
    assert (len(points), points[0].on_hand) == (91, 7)
    assert now - points[0].at == timedelta(days=90)
    assert points[1].at - points[0].at == timedelta(days=1)


def test_without_a_movement_there_is_nothing_to_tell(database):
    assert history.stock_history(factories.product().id, now=timezone.now(), caller=SYSTEM) == []


def test_the_scope_is_told_alone(database):
    factories.warehouse("EAST")
    mug = factories.product(stock={"MAIN": 10, "EAST": 5})
    viewer = factories.user(is_staff=True).id
    warehouses.set_scope(viewer, warehouses=["EAST"], caller=User(0))
    assert history.stock_history(mug.id, now=timezone.now(), caller=User(viewer))[-1].on_hand == 5


def test_statements_do_not_grow_with_the_ledger(database):
    mug = factories.product(stock=100)
    counts = []
    for holds in (1, 20):
        for _ in range(holds):
            factories.reservation((mug.id, 1))
        with counted_statements() as statements:
            history.stock_history(mug.id, now=timezone.now(), caller=SYSTEM)
        counts.append(len(statements))
    assert counts[0] == counts[1] == 3
