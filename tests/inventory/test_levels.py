"""What is sellable, free, available and low is computed in one place, in Python and in SQL alike."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory import models
from inventory.stock import levels
from tests import factories
from tests.conftest import fetch

ROOT = Path(__file__).resolve().parents[2]
units = st.integers(0, 9)
# How else one might write it: as a difference of these columns, or a comparison with the reorder point.
COMPUTED = re.compile(
    r"""on_hand["')]*\s*-\s*[\w.("']*(unavailable|reserved|promised|safety_stock)|"""
    r"""-\s*[\w.("']*safety_stock|<=\s*[\w.("']*reorder_point|reorder_point["')]*\s*>="""
)


def computed_elsewhere(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if COMPUTED.search(line)]


def test_no_other_place_computes_them():
    found = {
        str(path.relative_to(ROOT)): lines
        for app in ("inventory", "orders", "products", "shop")
        for path in (ROOT / app).rglob("*.py")
        if "migrations" not in path.parts and (lines := computed_elsewhere(path.read_text()))
    }
    assert list(found) == ["inventory/stock/levels.py"]


@pytest.mark.parametrize(
    "line",
    [
        "free = row.on_hand - row.unavailable",
        'F("on_hand") - F("unavailable")',
        "GREATEST(0, s.on_hand - s.reserved)",
        "units - self.safety_stock",
        "WHERE free <= s.reorder_point",
        "row.reorder_point >= available",
    ],
)
def test_the_walk_sees_one_that_is_planted(line):
    assert computed_elsewhere(line) == [line]


@given(st.tuples(units, units, units, units, units), units, st.one_of(st.none(), units))
def test_python_django_and_sql_say_the_same(quantities, promised, reorder_point):
    """The text of a rule, evaluated by Python in place of PostgreSQL, which the next test asks."""
    row = dict(zip(levels.QUANTITIES, quantities, strict=True))
    names = {"row": type("Row", (), {**row, "promised": promised, "reorder_point": reorder_point}), "GREATEST": max}
    free = levels.Levels(row["on_hand"], promised, row["unavailable"], 0, 0)

    assert eval(levels.available_sql("row"), names) == levels.available(*quantities)
    assert eval(levels.sellable_sql("row"), names) == free.sellable
    assert eval(levels.free_sql("row"), names) == free.free
    if reorder_point is not None:
        assert eval(levels.is_low_sql("3", "row"), names) == levels.is_low(reorder_point, 3, is_sold=True)
    assert not levels.is_low(reorder_point, 3, is_sold=False)


def test_the_database_says_the_same(database):
    product = factories.product(sku="MUG", stock=9)
    where = models.Stock.objects.filter(product_id=product.id)
    where.update(safety_stock=4, reorder_point=5)

    assert where.values_list(levels.AVAILABLE, flat=True).get() == levels.available(9, 0, 4, 0, 0) == 5
    assert where.alias(free=levels.AVAILABLE).filter(levels.IS_LOW).exists()
    assert fetch(f"SELECT {levels.available_sql('s')}, {levels.is_low_sql('5', 's')} FROM inventory_stock s") == [
        (5, True)
    ]
