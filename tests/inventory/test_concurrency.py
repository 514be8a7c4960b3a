"""What happens at once: threads with connections of their own, let go by a barrier, and exact totals afterwards."""

import random
import threading
from collections.abc import Callable

import pytest
from django.db import connections

from inventory import services as inventory
from inventory.counts import counting, posting
from inventory.stock import history, ledger, warehouses
from shop.toolkit.callers import SYSTEM
from shop.toolkit.db import transactions
from shop.toolkit.ids import new_id
from tests import factories
from tests.conftest import fetch
from tests.racing import all_at_once, deadlocks, kinds, reserve
from tests.stock_rows import assert_books_are_right, overdue

pytestmark = [pytest.mark.usefixtures("database"), pytest.mark.alone]


def stock() -> tuple:
    return fetch("SELECT on_hand, reserved, committed FROM inventory_stock ORDER BY product_id, warehouse_id")[0]


def test_fifty_buyers_of_the_last_unit():
    product = factories.product(stock=1)

    results = all_at_once(*(reserve((product.id, 1)) for _ in range(50)))

    assert kinds(results) == {"Reservation": 1, "InsufficientStock": 49}
    assert stock() == (1, 1, 0)
    assert_books_are_right()


def test_a_hundred_buyers_of_twenty_five_units_in_two_warehouses():
    factories.warehouse("EAST", priority=200)
    product = factories.product(stock={"MAIN": 10, "EAST": 15})

    results = all_at_once(*(reserve((product.id, 1)) for _ in range(100)))

    assert kinds(results) == {"Reservation": 25, "InsufficientStock": 75}
    assert fetch("SELECT on_hand, reserved FROM inventory_stock ORDER BY warehouse_id") == [(10, 10), (15, 15)]
    assert_books_are_right()


@pytest.mark.parametrize("each", [100, pytest.param(1250, marks=pytest.mark.long)])
def test_orders_with_lines_in_opposite_order_never_deadlock(each):
    products = [factories.product(stock=1_000_000).id for _ in range(8)]
    before = deadlocks()
    threads = 8

    def buy(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(each):
            wanted = chance.sample(products, 4)
            transactions.run(reserve(*((product_id, 1) for product_id in wanted)))
        connections.close_all()

    workers = [threading.Thread(target=buy, args=[seed]) for seed in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert deadlocks() == before
    assert fetch("SELECT sum(reserved) FROM inventory_stock") == [(threads * each * 4,)]
    assert fetch("SELECT count(*) FROM inventory_reservation") == [(threads * each,)]
    assert_books_are_right()


def test_confirm_against_expire_has_one_winner():
    for _ in range(20):
        product = factories.product(stock=1)
        held = factories.reservation((product.id, 1))
        overdue(held.id)

        confirmed, expired = all_at_once(
            lambda held=held: inventory.confirm(held.id, owner="test", caller=SYSTEM),
            lambda: inventory.expire_due(limit=10),
        )

        state = fetch("SELECT state FROM inventory_reservation WHERE id = %s", held.id)[0][0]
        if state == "confirmed":
            assert (confirmed.state, expired) == ("confirmed", 0)
        else:
            assert (state, confirmed.current_status, expired) == ("expired", "expired", 1)
    assert_books_are_right()


def test_many_sweepers_expire_each_hold_once():
    product = factories.product(stock=100)
    holds = [factories.reservation((product.id, 1)).id for _ in range(60)]
    overdue(*holds)

    results = all_at_once(*(lambda: inventory.expire_due(limit=20) for _ in range(8)))
    while left := transactions.run(lambda: inventory.expire_due(limit=20)):
        results.append(left)

    assert sum(results) == 60
    assert stock() == (100, 0, 0)
    assert fetch("SELECT count(*) FROM inventory_movement WHERE kind = 'expire'") == [(60,)]
    assert_books_are_right()


def test_buyers_who_all_need_the_same_overdue_holds_get_each_unit_once():
    product, other = factories.product(stock=10), factories.product(stock=10)
    overdue(*(factories.reservation((product.id, 2), (other.id, 2)).id for _ in range(5)))

    results = all_at_once(*(reserve((product.id, 1), (other.id, 1)) for _ in range(20)))

    assert kinds(results) == {"Reservation": 10, "InsufficientStock": 10}
    assert fetch("SELECT on_hand, reserved FROM inventory_stock") == [(10, 10), (10, 10)]
    assert_books_are_right()


def test_release_twice_gives_back_once():
    product = factories.product(stock=5)
    held = factories.reservation((product.id, 5))

    results = all_at_once(*(lambda: inventory.release(held.id, owner="test", caller=SYSTEM) for _ in range(8)))

    assert {result.state for result in results} == {"released"}
    assert stock() == (5, 0, 0)
    assert fetch("SELECT count(*) FROM inventory_movement WHERE kind = 'release'") == [(1,)]


def test_release_against_ship_has_one_winner():
    for _ in range(20):
        product = factories.product(stock=3)
        held = factories.reservation((product.id, 3))
        transactions.run(lambda held=held: inventory.confirm(held.id, owner="test", caller=SYSTEM))

        results = all_at_once(
            lambda held=held: inventory.release(held.id, owner="test", caller=SYSTEM),
            lambda held=held: inventory.fulfill(held.id, owner="test", caller=SYSTEM),
        )

        assert kinds(results) == {"Reservation": 1, "InvalidTransition": 1}
        shipped = isinstance(results[1], inventory.Reservation)
        assert fetch("SELECT on_hand, committed FROM inventory_stock WHERE product_id = %s", product.id) == [
            (0 if shipped else 3, 0)
        ]
    assert_books_are_right()


def test_transfers_against_each_other_keep_the_total():
    factories.warehouse("EAST")
    products = [factories.product(stock={"MAIN": 50, "EAST": 50}) for _ in range(3)]
    before = deadlocks()

    def transfer(source: str, target: str, order: int) -> Callable[[], object]:
        items = [inventory.Demand(product.id, 1) for product in products[::order]]
        return lambda: ledger.transfer(
            transfer_id=new_id(), from_warehouse=source, to_warehouse=target, items=items, note="", caller=SYSTEM
        )

    works = [transfer("MAIN", "EAST", 1) for _ in range(20)] + [transfer("EAST", "MAIN", -1) for _ in range(20)]
    results = all_at_once(*works)

    assert kinds(results) == {"list": 40}
    assert deadlocks() == before
    assert fetch("SELECT DISTINCT on_hand FROM inventory_stock") == [(50,)]
    assert_books_are_right()


def test_the_first_receipt_twice_opens_one_row():
    product = factories.product(stock={})

    def receive() -> None:
        ledger.receive(product_id=product.id, levels=[inventory.Level("MAIN", 1)], caller=SYSTEM, reference="", note="")

    assert kinds(all_at_once(*[receive] * 10)) == {"NoneType": 10}
    assert fetch("SELECT on_hand, seq FROM inventory_stock") == [(10, 10)]
    assert_books_are_right()


def test_of_two_compare_and_sets_one_gets_through():
    product = factories.product(stock=10)

    def set_to(quantity: int) -> Callable[[], history.Movement]:
        return lambda: ledger.set_on_hand(
            product_id=product.id, warehouse="MAIN", quantity=quantity, expected_on_hand=10, reason="correction",
            note="", reference="", caller=SYSTEM,
        )  # fmt: skip

    results = all_at_once(*(set_to(quantity) for quantity in range(11, 19)))

    assert kinds(results) == {"Movement": 1, "StaleQuantity": 7}
    (winner,) = [result for result in results if isinstance(result, history.Movement)]
    assert {result.current for result in results if result is not winner} == {winner.on_hand}


def test_a_loss_against_buyers_never_breaks_a_promise():
    product = factories.product(stock=20)

    def lose() -> history.Movement:
        return inventory.adjust(
            product_id=product.id, warehouse="MAIN", delta=-1, reason="lost", note="", reference="", caller=SYSTEM
        )

    results = all_at_once(*[lose] * 20, *(reserve((product.id, 1)) for _ in range(20)))

    found = kinds(results)
    assert found["Movement"] + found["Reservation"] == 20
    assert found["StockPromised"] + found["InsufficientStock"] == 20
    on_hand, reserved, _ = stock()
    assert (on_hand, reserved) == (20 - found["Movement"], found["Reservation"])
    assert on_hand == reserved
    assert_books_are_right()


def test_a_count_closed_twice_is_posted_once():
    product = factories.product(stock=10)
    count_id = new_id()
    transactions.run(lambda: counting.open_count(count_id=count_id, warehouse="MAIN", note="", caller=SYSTEM))
    transactions.run(lambda: counting.record_count(count_id, product_id=product.id, counted=7, caller=SYSTEM))

    results = all_at_once(*(lambda: posting.close_count(count_id, caller=SYSTEM) for _ in range(8)))

    assert kinds(results) == {"CountReview": 8}
    assert stock() == (7, 0, 0)
    assert fetch("SELECT count(*) FROM inventory_movement WHERE kind = 'count'") == [(1,)]


def test_a_warehouse_deleted_while_stock_arrives_is_there_or_the_stock_is_refused():
    for number in range(10):
        factories.warehouse(f"W{number}")
        product = factories.product(stock={})

        deleted, received = all_at_once(
            lambda number=number: warehouses.delete_warehouse(f"W{number}", caller=SYSTEM),
            lambda number=number, product=product: ledger.receive(
                product_id=product.id, levels=[inventory.Level(f"W{number}", 1)], caller=SYSTEM, reference="", note=""
            ),
        )

        outcomes = (type(deleted).__name__, type(received).__name__)
        assert outcomes in {("WarehouseInUse", "NoneType"), ("NoneType", "WarehouseNotFound")}
