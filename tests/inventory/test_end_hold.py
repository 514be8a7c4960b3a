import pytest

from inventory import services as inventory
from inventory.reservations import expiry
from inventory.stock import warehouses
from orders import listing
from shop.toolkit.callers import SYSTEM, User
from shop.toolkit.db import transactions
from shop.toolkit.ids import new_id
from tests import factories
from tests.conftest import fetch
from tests.stock_rows import assert_books_are_right


def end(reservation_id, *, actor_id: int, reason: str = "fraud") -> None:
    transactions.run(lambda: expiry.end_hold(reservation_id, reason=reason, caller=User(actor_id)))


def test_a_hold_ends_before_its_deadline_with_who_and_why_in_the_ledger(database):
    mug = factories.product(stock=10)
    hold = factories.reservation((mug.id, 4))
    actor_id = factories.user(is_staff=True).id

    end(hold.id, actor_id=actor_id)

    ended = inventory.get_reservation(hold.id, caller=SYSTEM)
    assert (ended.state, [(line.open, line.released) for line in ended.lines]) == ("expired", [(0, 4)])
    assert inventory.get_item(mug.id, caller=SYSTEM).available == 10
    assert fetch("SELECT actor_id, note, reserved_delta FROM inventory_movement WHERE kind = 'expire'") == [
        (actor_id, "fraud", -4)
    ]
    assert_books_are_right()


def test_an_order_finds_its_hold_expired_and_may_be_confirmed_while_there_is_stock(database):
    mug = factories.product(stock=4)
    buyer = factories.user()
    order = factories.order(buyer, (mug.id, 4))
    reservation_id = inventory.explain(mug.id, caller=SYSTEM).holds[0].reservation_id

    end(reservation_id, actor_id=factories.user(is_staff=True).id)

    assert listing.get_order(order.id, caller=SYSTEM).status == "expired"
    assert_books_are_right()
    confirmed = factories.confirmer().post(f"/api/v1/orders/{order.id}/confirm")
    assert (confirmed.status_code, confirmed.json()["status"]) == (200, "confirmed")
    assert_books_are_right()


@pytest.mark.parametrize("first", [inventory.confirm, inventory.release])
def test_what_is_not_held_is_left_alone(database, first):
    mug = factories.product(stock=4)
    hold = factories.reservation((mug.id, 3))
    transactions.run(lambda: first(hold.id, owner="test", caller=SYSTEM))
    before = fetch("SELECT count(*) FROM inventory_movement")
    with pytest.raises(inventory.InvalidTransition):
        end(hold.id, actor_id=factories.user(is_staff=True).id)
    assert fetch("SELECT count(*) FROM inventory_movement") == before


def test_twice_is_once(database):
    hold = factories.reservation((factories.product(stock=4).id, 3))
    actor_id = factories.user(is_staff=True).id
    end(hold.id, actor_id=actor_id)
    with pytest.raises(inventory.InvalidTransition):
        end(hold.id, actor_id=actor_id)
    with pytest.raises(inventory.ReservationNotFound):
        end(new_id(), actor_id=actor_id)
    assert_books_are_right()


def test_a_hold_that_reaches_out_of_the_scope_is_not_theirs_to_end(database):
    factories.warehouse("EAST")
    mug = factories.product(stock={"MAIN": 2, "EAST": 2})
    split = factories.reservation((mug.id, 3))
    actor_id = factories.user(is_staff=True).id
    warehouses.set_scope(actor_id, warehouses=["EAST"], caller=User(0))
    with pytest.raises(inventory.ReservationNotFound):
        end(split.id, actor_id=actor_id)
    warehouses.set_scope(actor_id, warehouses=["EAST", "MAIN"], caller=User(0))
    end(split.id, actor_id=actor_id)
    assert inventory.get_reservation(split.id, caller=SYSTEM).state == "expired"
