"""`allocate`, the pure function behind check, preview and reserve."""

from hypothesis import given
from hypothesis import strategies as st

from inventory.stock.allocation import Demand, Shortage, allocate, summed
from inventory.stock.levels import StockRow
from inventory.stock.sql import Line


def row(product_id: int, warehouse_id: int, free: int, *, priority: int = 100, **other: int) -> StockRow:
    levels = {"reserved": 0, "committed": 0, "unavailable": 0, "safety_stock": 0, "backorder_limit": 0, **other}
    return StockRow(product_id, warehouse_id, f"W{warehouse_id}", priority, on_hand=free, **levels)


def test_one_warehouse_that_has_everything_is_taken_though_another_comes_first():
    rows = [row(1, 1, 9, priority=1), row(2, 1, 0, priority=1), row(1, 2, 9, priority=2), row(2, 2, 9, priority=2)]

    assert allocate({1: 3, 2: 3}, rows).lines == [Line(1, 2, 3), Line(2, 2, 3)]


def test_of_two_that_have_everything_the_first_by_priority_is_taken():
    rows = [row(1, 1, 9, priority=2), row(1, 2, 9, priority=1), row(1, 3, 9, priority=1)]

    assert allocate({1: 3}, rows).lines == [Line(1, 2, 3)]


def test_else_the_one_with_most_whole_lines_again_and_again():
    rows = [
        row(1, 1, 5, priority=1),
        *(row(product_id, 2, 5, priority=2) for product_id in (2, 3)),
        *(row(product_id, 3, 5, priority=3) for product_id in (1, 4)),
    ]

    assert allocate({1: 5, 2: 5, 3: 5, 4: 5}, rows).lines == [
        Line(1, 3, 5),
        Line(2, 2, 5),
        Line(3, 2, 5),
        Line(4, 3, 5),
    ]


def test_a_line_that_none_has_whole_is_split_by_priority():
    rows = [row(1, 1, 4, priority=3), row(1, 2, 4, priority=1), row(1, 3, 4, priority=2)]

    assert allocate({1: 10}, rows).lines == [Line(1, 1, 2), Line(1, 2, 4), Line(1, 3, 4)]


def test_a_shortage_is_exact_and_takes_no_units_from_the_others():
    rows = [row(1, 1, 4), row(1, 2, 3), row(2, 1, 5)]

    plan = allocate({1: 8, 2: 5, 3: 1}, rows)

    assert plan.shortages == [Shortage(1, 8, 7), Shortage(3, 1, 0)]
    assert plan.lines == [Line(2, 1, 5)]


def test_each_warehouse_is_clamped_at_zero_before_summing():
    """A debt of one warehouse is not paid by another: -4 and 3 are 3."""
    rows = [row(1, 1, 6, safety_stock=10), row(1, 2, 3)]

    assert allocate({1: 3}, rows).lines == [Line(1, 2, 3)]
    assert allocate({1: 4}, rows).shortages == [Shortage(1, 4, 3)]


def test_a_backorder_limit_is_as_good_as_stock():
    assert allocate({1: 7}, [row(1, 1, 5, backorder_limit=2)]).lines == [Line(1, 1, 7)]
    assert allocate({1: 8}, [row(1, 1, 5, backorder_limit=2)]).shortages == [Shortage(1, 8, 7)]


def test_lines_of_one_product_are_one_demand():
    assert summed([Demand(1, 2), Demand(2, 1), Demand(1, 3)]) == {1: 5, 2: 1}


PRIORITIES = {1: 2, 2: 1, 3: 3, 4: 1}  # of a warehouse, not of a row
levels = st.integers(0, 12)
stock = st.lists(
    st.builds(
        StockRow,
        product_id=st.integers(1, 4),
        warehouse_id=st.integers(1, 4),
        warehouse=st.just("W"),
        priority=st.just(0),
        on_hand=levels,
        reserved=st.integers(0, 4),
        committed=st.integers(0, 4),
        unavailable=st.integers(0, 2),
        safety_stock=st.integers(0, 2),
        backorder_limit=st.integers(0, 2),
    ).map(lambda found: found._replace(priority=PRIORITIES[found.warehouse_id])),
    max_size=16,
    unique_by=lambda found: (found.product_id, found.warehouse_id),
)
demands = st.dictionaries(st.integers(1, 4), st.integers(1, 20), min_size=1)


@given(demands, stock)
def test_every_plan_adds_up_and_stays_within_what_is_there(demand, rows):
    plan = allocate(demand, rows)
    free = {(found.product_id, found.warehouse_id): found.available_to_promise for found in rows}
    total = {product_id: sum(units for (key, _), units in free.items() if key == product_id) for product_id in demand}
    short = {shortage.product_id for shortage in plan.shortages}

    assert plan.shortages == [Shortage(p, n, total[p]) for p, n in sorted(demand.items()) if total[p] < n]
    for product_id, wanted in demand.items():
        given_units = sum(line.quantity for line in plan.lines if line.product_id == product_id)
        assert given_units == (0 if product_id in short else wanted)
    for line in plan.lines:
        assert 0 < line.quantity <= free[line.product_id, line.warehouse_id]


@given(demands, stock)
def test_no_line_is_split_where_one_warehouse_would_do_and_one_order_not_where_one_would(demand, rows):
    plan = allocate(demand, rows)
    free = {(found.product_id, found.warehouse_id): found.available_to_promise for found in rows}
    used = {line.warehouse_id for line in plan.lines}
    for product_id, wanted in demand.items():
        places = [line for line in plan.lines if line.product_id == product_id]
        if any(units >= wanted for (key, _), units in free.items() if key == product_id):
            assert len(places) == 1
    served = [product_id for product_id in demand if any(line.product_id == product_id for line in plan.lines)]
    if served and any(
        all(free.get((product_id, place), 0) >= demand[product_id] for product_id in served) for place in range(1, 5)
    ):
        assert len(used) == 1


@given(demands, stock, st.randoms(use_true_random=False))
def test_the_plan_does_not_depend_on_the_order_of_what_it_is_given(demand, rows, random):
    shuffled_rows, shuffled_demand = list(rows), list(demand.items())
    random.shuffle(shuffled_rows)
    random.shuffle(shuffled_demand)

    assert allocate(dict(shuffled_demand), shuffled_rows) == allocate(demand, rows)
