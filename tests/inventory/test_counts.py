"""Stocktakes as services: entries that add or replace, what is posted and what is not, and corrections meanwhile."""

import threading
import time
from functools import partial

import pytest

from inventory import services as inventory
from inventory.counts import counting, posting
from inventory.stock import ledger
from shop.toolkit.callers import SYSTEM
from shop.toolkit.db import transactions
from shop.toolkit.ids import new_id
from tests import factories
from tests.conftest import counted_statements, fetch
from tests.inventory.imports import loaded, on_hand
from tests.racing import all_at_once
from tests.stock_rows import assert_books_are_right, overdue


def opened(warehouse: str = "MAIN"):
    count_id = new_id()
    transactions.run(lambda: counting.open_count(count_id=count_id, warehouse=warehouse, note="", caller=SYSTEM))
    return count_id


def counted(count_id, product_id: int, units: int) -> counting.CountEntry:
    return transactions.run(
        lambda: counting.record_count(count_id, product_id=product_id, counted=units, caller=SYSTEM)
    )


def added(count_id, product_id: int, units: int) -> counting.CountEntry:
    return transactions.run(
        lambda: counting.add_to_count(count_id, product_id=product_id, quantity=units, caller=SYSTEM)
    )


def closed(count_id) -> posting.CountReview:
    return transactions.run(lambda: posting.close_count(count_id, caller=SYSTEM))


def stock(product_id: int) -> tuple[int, int, int]:
    return fetch("SELECT on_hand, reserved + committed, unavailable FROM inventory_stock WHERE product_id = %s",
                 product_id)[0]  # fmt: skip


WHY = {"note": "", "reference": "", "caller": SYSTEM}
CORRECTIONS = {
    "set": lambda p: ledger.set_on_hand(
        product_id=p, warehouse="MAIN", quantity=8, expected_on_hand=10, reason="correction", **WHY
    ),
    "adjust": lambda p: inventory.adjust(product_id=p, warehouse="MAIN", delta=-2, reason="lost", **WHY),
    # Whatever reason somebody gives for it.
    "set as received": lambda p: ledger.set_on_hand(
        product_id=p, warehouse="MAIN", quantity=8, expected_on_hand=10, reason="received", **WHY
    ),
    "set as returned": lambda p: ledger.set_on_hand(
        product_id=p, warehouse="MAIN", quantity=8, expected_on_hand=10, reason="return", **WHY
    ),
    "adjust as received": lambda p: inventory.adjust(
        product_id=p, warehouse="MAIN", delta=-2, reason="received", **WHY
    ),
    "discard": lambda p: (
        ledger.set_apart(product_id=p, warehouse="MAIN", delta=2, reason="damaged", **WHY),
        ledger.discard(product_id=p, warehouse="MAIN", quantity=2, reason="damaged", **WHY),
    ),
}
EVENTS = {
    "receive": (
        lambda p: ledger.receive(
            product_id=p, levels=[inventory.Level("MAIN", 5)], caller=SYSTEM, reference="", note=""
        ),
        5,
    ),
    "received": (lambda p: inventory.adjust(product_id=p, warehouse="MAIN", delta=5, reason="received", **WHY), 5),
    "transfer": (
        lambda p: ledger.transfer(
            transfer_id=new_id(),
            from_warehouse="MAIN",
            to_warehouse="EAST",
            items=[inventory.Demand(p, 4)],
            note="",
            caller=SYSTEM,
        ),
        -4,
    ),
    "sell": (lambda p: ledger.sell(product_id=p, quantity=3, note="", reference="", caller=SYSTEM), -3),
    "set apart": (lambda p: ledger.set_apart(product_id=p, warehouse="MAIN", delta=2, reason="damaged", **WHY), 0),
}


@pytest.mark.parametrize("correction", CORRECTIONS)
def test_a_correction_after_the_counting_asks_for_a_recount_and_is_not_made_twice(database, correction):
    mug, other = factories.product(sku="MUG", stock=10), factories.product(stock=7)
    count_id = opened()
    counted(count_id, mug.id, 8)
    counted(count_id, other.id, 6)
    transactions.run(partial(CORRECTIONS[correction], mug.id))

    review = posting.review_count(count_id, caller=SYSTEM)
    first = closed(count_id)

    assert review.obstacles == first.obstacles
    assert [(found.sku, "Count it again" in found.detail) for found in first.obstacles] == [("MUG", True)]
    assert (first.count.closed_at, on_hand(mug.id), on_hand(other.id)) == (None, {"MAIN": 8}, {"MAIN": 6})
    counted(count_id, mug.id, 7)
    second = closed(count_id)
    assert (second.obstacles, second.count.closed_at is None, on_hand(mug.id)) == ([], False, {"MAIN": 7})
    assert_books_are_right()


@pytest.mark.parametrize("reason", ["", "received", "return", "count", "lost"])
@pytest.mark.parametrize(("mode", "quantity"), [("set", 8), ("adjust", -2), ("count", 8)])
def test_a_file_is_a_correction_whatever_its_reason(database, mode, quantity, reason):
    mug = factories.product(sku="MUG", stock=10)
    count_id = opened()
    counted(count_id, mug.id, 8)
    loaded(f"sku,quantity,reason\nMUG,{quantity},{reason}\n", mode=mode)

    assert [found.sku for found in closed(count_id).obstacles] == ["MUG"]
    assert on_hand(mug.id) == {"MAIN": 8}


def test_another_count_is_a_correction_too(database):
    mug = factories.product(sku="MUG", stock=10)
    first, second = opened(), opened()
    for count_id in (first, second):
        counted(count_id, mug.id, 8)
    closed(first)
    assert [found.sku for found in closed(second).obstacles] == ["MUG"]
    assert on_hand(mug.id) == {"MAIN": 8}


@pytest.mark.parametrize("event", EVENTS)
def test_what_came_and_went_after_the_counting_is_replayed(database, event):
    factories.warehouse("EAST", priority=200)
    mug = factories.product(stock=10)
    count_id = opened()
    counted(count_id, mug.id, 8)
    work, delta = EVENTS[event]
    transactions.run(partial(work, mug.id))

    assert closed(count_id).obstacles == []

    assert on_hand(mug.id)["MAIN"] == 8 + delta
    assert_books_are_right()


def test_a_correction_before_the_counting_asks_for_nothing(database):
    mug = factories.product(stock=10)
    count_id = opened()
    counted(count_id, mug.id, 7)
    transactions.run(partial(CORRECTIONS["set"], mug.id))
    counted(count_id, mug.id, 7)

    assert closed(count_id).obstacles == []
    assert on_hand(mug.id) == {"MAIN": 7}


def test_entries_add_or_replace_and_say_what_was_there_before(database):
    mug = factories.product(stock=10)
    count_id = opened()

    first, second = added(count_id, mug.id, 1), added(count_id, mug.id, 1)
    transactions.run(partial(EVENTS["sell"][0], mug.id))
    third = counted(count_id, mug.id, 6)

    assert (first.before, first.line.counted) == (None, 1)
    assert (second.before, second.line.counted, second.line.book) == (1, 2, 10)
    assert (third.before, third.line.counted, third.line.book) == (2, 6, 7)
    for units in (-7, 1_000_000_000):
        with pytest.raises(inventory.LevelOutOfRange):
            added(count_id, mug.id, units)


def test_a_scan_is_not_added_to_a_count_that_is_posted_or_outdated(database):
    mug, pot = factories.product(sku="MUG", stock=10), factories.product(sku="POT", stock=10)
    factories.reservation((pot.id, 10))
    count_id = opened()
    counted(count_id, mug.id, 8)
    counted(count_id, pot.id, 8)
    closed(count_id)

    with pytest.raises(inventory.CountLinePosted, match="MUG is already posted"):
        added(count_id, mug.id, 1)
    transactions.run(lambda: inventory.adjust(product_id=pot.id, warehouse="MAIN", delta=1, reason="found", **WHY))
    with pytest.raises(inventory.RecountNeeded, match="The stock of POT changed"):
        added(count_id, pot.id, 1)
    assert counted(count_id, mug.id, 9).line.variance == 1
    assert added(count_id, mug.id, 1).line.counted == 10
    transactions.run(lambda: counting.remove_count_line(count_id, product_id=pot.id, caller=SYSTEM))
    assert added(count_id, pot.id, 1).line.counted == 1


@pytest.mark.parametrize("event", [name for name in EVENTS if EVENTS[name][1]])
def test_units_that_come_or_go_between_two_scans_are_not_counted_twice_or_never(database, event):
    """6 are scanned, some of those are sold, the rest is scanned: which of them were counted, nobody knows."""
    factories.warehouse("EAST", priority=200)
    mug = factories.product(sku="MUG", stock=10)
    count_id = opened()
    added(count_id, mug.id, 6)
    transactions.run(partial(EVENTS[event][0], mug.id))

    with pytest.raises(inventory.RecountNeeded, match="The stock of MUG changed"):
        added(count_id, mug.id, 4)

    left = 10 + EVENTS[event][1]
    counted(count_id, mug.id, left)
    assert closed(count_id).obstacles == []
    assert on_hand(mug.id)["MAIN"] == left


def test_what_is_only_promised_or_set_apart_disturbs_no_count(database):
    mug = factories.product(stock=10)
    count_id = opened()
    added(count_id, mug.id, 6)
    hold = factories.reservation((mug.id, 2))
    transactions.run(lambda: inventory.confirm(hold.id, owner="test", caller=SYSTEM))
    transactions.run(partial(EVENTS["set apart"][0], mug.id))
    assert added(count_id, mug.id, 4).line.counted == 10


def test_a_correction_is_told_also_where_nothing_differed(database):
    mug = factories.product(stock=10)
    count_id = opened()
    counted(count_id, mug.id, 10)
    transactions.run(partial(CORRECTIONS["set"], mug.id))

    assert [found.product_id for found in closed(count_id).obstacles] == [mug.id]
    assert on_hand(mug.id) == {"MAIN": 8}


@pytest.mark.alone
def test_an_addition_sees_a_correction_that_is_under_way(database):
    mug = factories.product(stock=10)
    count_id = opened()
    added(count_id, mug.id, 6)
    is_locked = threading.Event()

    def correct() -> None:
        ledger.set_on_hand(product_id=mug.id, warehouse="MAIN", quantity=12, expected_on_hand=10, reason="found",
                              **WHY)  # fmt: skip
        is_locked.set()
        time.sleep(0.5)

    def add() -> counting.CountEntry:
        is_locked.wait(5)
        return counting.add_to_count(count_id, product_id=mug.id, quantity=1, caller=SYSTEM)

    _, refused = all_at_once(correct, add)

    assert isinstance(refused, inventory.RecountNeeded)


@pytest.mark.alone
def test_scans_at_once_count_each(database):
    mug = factories.product(stock=3)
    count_id = opened()

    add = partial(counting.add_to_count, count_id, product_id=mug.id, quantity=1, caller=SYSTEM)
    all_at_once(*[add] * 12)

    assert counting.get_count(count_id, caller=SYSTEM).lines[0].counted == 12


def test_what_can_be_posted_is_posted_and_the_rest_stays_open(database):
    lost, found, right = (factories.product(sku=sku, stock=10) for sku in ("LOST", "FOUND", "RIGHT"))
    hold = factories.reservation((lost.id, 9), reference="order 7")
    count_id = opened()
    for product, units in ((lost, 4), (found, 12), (right, 10)):
        counted(count_id, product.id, units)

    review = closed(count_id)

    (obstacle,) = review.obstacles
    assert (obstacle.sku, [promise.reservation_id for promise in obstacle.promises]) == ("LOST", [hold.id])
    assert obstacle.detail == (
        "6 units missing, but only 1 free; the others are promised (9 to order 7). Cancel an order or count again."
    )
    assert [line.posted_at is None for line in review.count.lines] == [True, False, False]
    assert review.count.closed_at is None
    assert (on_hand(lost.id), on_hand(found.id)) == ({"MAIN": 10}, {"MAIN": 12})
    # What was posted is not posted again, and no other count waits for the rest.
    other = opened()
    counted(other, right.id, 9)
    assert closed(other).count.closed_at is not None
    transactions.run(lambda: inventory.release(hold.id, owner="test", caller=SYSTEM))
    assert closed(count_id).count.closed_at is not None
    assert [on_hand(product.id)["MAIN"] for product in (lost, found, right)] == [4, 12, 9]
    assert_books_are_right()


def test_an_overdue_hold_is_in_no_counts_way(database):
    mug = factories.product(stock=10)
    overdue(factories.reservation((mug.id, 9)).id)
    count_id = opened()
    counted(count_id, mug.id, 4)

    assert posting.review_count(count_id, caller=SYSTEM).obstacles == []
    assert closed(count_id).obstacles == []
    assert stock(mug.id) == (4, 0, 0)
    assert_books_are_right()


@pytest.mark.parametrize(("units", "expected"), [(8, (8, 0, 6)), (6, (6, 0, 6)), (4, (4, 0, 4)), (0, (0, 0, 0))])
def test_a_count_below_what_is_unavailable_lowers_that_in_the_same_movement(database, units, expected):
    mug = factories.product(stock=10)
    transactions.run(lambda: ledger.set_apart(product_id=mug.id, warehouse="MAIN", delta=6, reason="damaged", **WHY))
    count_id = opened()
    counted(count_id, mug.id, units)

    assert closed(count_id).obstacles == []

    assert stock(mug.id) == expected
    assert fetch("SELECT count(*) FROM inventory_movement WHERE kind = 'count'") == [(1,)]
    assert_books_are_right()


def test_units_that_left_although_none_were_counted_ask_for_a_recount(database):
    mug = factories.product(stock=10)
    count_id = opened()
    counted(count_id, mug.id, 2)
    transactions.run(partial(EVENTS["sell"][0], mug.id))

    assert [found.detail for found in closed(count_id).obstacles] == [
        "Posting this would leave -1 units on hand. Count it again."
    ]
    assert on_hand(mug.id) == {"MAIN": 7}


def test_a_line_is_removed_unless_it_is_posted(database):
    mug, pot = factories.product(sku="MUG", stock=10), factories.product(sku="POT", stock=10)
    hold = factories.reservation((pot.id, 10))
    count_id = opened()
    counted(count_id, mug.id, 8)
    counted(count_id, pot.id, 8)
    closed(count_id)

    def remove(product_id: int):
        return transactions.run(lambda: counting.remove_count_line(count_id, product_id=product_id, caller=SYSTEM))

    with pytest.raises(inventory.CountLinePosted):
        remove(mug.id)
    assert remove(pot.id).counted == 8
    with pytest.raises(inventory.NotCounted):
        remove(pot.id)
    assert closed(count_id).count.closed_at is not None
    with pytest.raises(inventory.CountClosed):
        remove(mug.id)
    assert (on_hand(pot.id), inventory.get_reservation(hold.id, caller=SYSTEM).state) == ({"MAIN": 10}, "held")


def test_a_count_is_abandoned_and_posts_nothing_more(database):
    mug = factories.product(stock=10)
    count_id = opened()
    counted(count_id, mug.id, 8)

    first = transactions.run(lambda: counting.abandon_count(count_id, caller=SYSTEM))
    again = transactions.run(lambda: counting.abandon_count(count_id, caller=SYSTEM))

    assert (first.is_abandoned, first.closed_at is None) == (True, False)
    assert again == first
    assert closed(count_id).count == first
    assert on_hand(mug.id) == {"MAIN": 10}
    with pytest.raises(inventory.CountClosed):
        counted(count_id, mug.id, 9)
    other = opened()
    closed(other)
    with pytest.raises(inventory.CountClosed):
        transactions.run(lambda: counting.abandon_count(other, caller=SYSTEM))


@pytest.mark.alone
def test_two_who_close_at_once_post_once(database):
    mug = factories.product(stock=10)
    count_id = opened()
    counted(count_id, mug.id, 8)

    all_at_once(*[partial(posting.close_count, count_id, caller=SYSTEM)] * 6)

    assert on_hand(mug.id) == {"MAIN": 8}
    assert fetch("SELECT count(*) FROM inventory_movement WHERE kind = 'count'") == [(1,)]


def test_closing_takes_the_same_statements_whatever_was_counted(database):
    numbers = []
    for lines in (2, 40):
        products = [factories.product(stock=10) for _ in range(lines)]
        factories.reservation(*((product.id, 10) for product in products[: lines // 2]))
        count_id = opened()
        for product in products:
            counted(count_id, product.id, 8)
        with counted_statements() as statements:
            assert len(closed(count_id).obstacles) == lines // 2
        numbers.append(len(statements))
    assert numbers[0] == numbers[1]
