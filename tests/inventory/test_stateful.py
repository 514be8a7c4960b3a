"""Random sequences of everything that inventory does, against a model in plain dicts, with the books verified after
each step. 15 examples of 50 steps, 500 in `make test-all`; `make fuzz` runs many more.

The model has its own physics, not the product's formula: two piles in each place, `good` units and `bad` ones, and
promises beside them. What leaves a place is taken from a pile and must lie there. A backorder limit says how much may
be promised and is asked for nowhere else.
"""

from datetime import timedelta
from uuid import UUID

import hypothesis
import pytest
from django.db import IntegrityError, connection
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from inventory import services as inventory
from inventory.counts import counting, posting
from inventory.reservations import availability, fulfillment, holds
from inventory.stock import ledger
from inventory.stock.levels import Levels
from inventory.verification import sql as verification_sql
from shop.toolkit.callers import SYSTEM
from shop.toolkit.db import transactions
from shop.toolkit.ids import new_id
from tests import factories
from tests.conftest import empty_tables, fetch

PRODUCTS = 3
WAREHOUSES = ("MAIN", "EAST")
GUARDS = ("guard_triggers", "guard_constraints", "guard_indexes", "guard_settings")  # nothing here changes those
# All checks over the data as one statement, one row for each that finds something.
DATA_CHECKS = " UNION ALL ".join(
    f"(SELECT '{name}' WHERE EXISTS ({statement}))"
    for name, (_, statement) in verification_sql.CHECKS.items()
    if name not in GUARDS
)

products = st.integers(0, PRODUCTS - 1)
places = st.sampled_from(WAREHOUSES)
units = st.integers(1, 8)
demands = st.lists(st.tuples(products, units), min_size=1, max_size=4)
EMPTY = {"good": 0, "bad": 0, "reserved": 0, "committed": 0}
NO_LINE = {"open": 0}


class Books(RuleBasedStateMachine):
    """The model: piles and promises by (product, warehouse), and of each reservation its state and units by line."""

    reservations = Bundle("reservations")

    def __init__(self) -> None:
        super().__init__()
        empty_tables()
        factories.warehouse("EAST", priority=200)
        self.ids = [factories.product(stock={}).id for _ in range(PRODUCTS)]
        self.levels: dict[tuple[int, str], dict[str, int]] = {}
        self.states: dict[UUID, str] = {}
        self.lines: dict[UUID, dict[tuple[int, str], dict[str, int]]] = {}
        self.turns: list[UUID] = []  # in the order in which they were confirmed
        self.overdue: set[UUID] = set()
        self.limits: dict[tuple[int, str], int] = {}

    # --- what the model knows ---

    def level(self, product: int, place: str) -> dict[str, int]:
        return self.levels.setdefault((self.ids[product], place), dict(EMPTY))

    def free(self, product_id: int) -> int:
        """Units that a reserve finds, those of overdue holds included."""
        total = 0
        for place in WAREHOUSES:
            level = self.levels.get((product_id, place), EMPTY)
            promised = level["reserved"] - self.overdue_units(product_id, place) + level["committed"]
            total += max(0, level["good"] + self.limits.get((product_id, place), 0) - promised)
        return total

    def overdue_units(self, product_id: int, place: str) -> int:
        """Units of overdue holds, which keep nobody from anything."""
        return sum(
            self.lines[hold].get((product_id, place), {"open": 0})["open"]
            for hold in self.overdue
            if self.states[hold] == "held"
        )

    def on_hand(self, product: int, place: str) -> int:
        level = self.level(product, place)
        return level["good"] + level["bad"]

    def may_go(self, product: int, place: str) -> int:
        """Good units that may leave a place or go bad: they lie there, and nobody is promised them."""
        level = self.level(product, place)
        promised = level["reserved"] - self.overdue_units(self.ids[product], place) + level["committed"]
        return max(0, level["good"] - promised)

    def took(self, product: int) -> None:
        """Learn which holds were ended before units were taken off a product: the overdue ones, all of them."""
        self.reclaim()
        for hold in self.overdue:
            if self.states[hold] == "held":
                assert not any(line["open"] for (key, _), line in self.lines[hold].items() if key == self.ids[product])

    def is_there(self, reservation: UUID, product_id: int | None, quantity: int) -> bool:
        """Tell whether the units that would be shipped lie on the good piles."""
        parts = self.parts(reservation, product_id, quantity)
        return all(taken <= self.levels[key]["good"] for key, taken in parts)

    def is_in_turn(self, reservation: UUID, product_id: int | None, quantity: int) -> bool:
        """Tell whether what was confirmed before stays covered when these units are shipped."""
        before = self.turns[: self.turns.index(reservation)]
        older = {key: sum(self.lines[found].get(key, NO_LINE)["open"] for found in before) for key in self.levels}
        parts = self.parts(reservation, product_id, quantity)
        return all(not taken or taken <= self.levels[key]["good"] - older[key] for key, taken in parts)

    def parts(self, reservation: UUID, product_id: int | None, quantity: int) -> list[tuple[tuple[int, str], int]]:
        """Return from which stock rows so many units of a product would be shipped; without one, all that is open."""
        found = []
        for key, line in sorted(self.lines[reservation].items(), key=lambda pair: (pair[0][0], -len(pair[0][1]))):
            if product_id in (None, key[0]):
                taken = line["open"] if product_id is None else min(quantity, line["open"])
                quantity -= taken
                found.append((key, taken))
        return found

    def end(self, reservation: UUID, state: str, column: str, how: dict[str, int]) -> None:
        """Move all that is open of a reservation to `column`; `how` are the changes of the level for each unit."""
        for key, line in self.lines[reservation].items():
            for name, sign in how.items():
                self.levels[key][name] += sign * line["open"]
            line[column] += line["open"]
            line["open"] = 0
        self.states[reservation] = state

    def take(self, reservation: UUID, product_id: int, quantity: int, source: str, column: str, how: dict) -> None:
        for key, line in sorted(self.lines[reservation].items(), key=lambda pair: (pair[0][0], -len(pair[0][1]))):
            available = line[source] - line["returned"] if source == "fulfilled" else line[source]
            taken = min(quantity, available) if key[0] == product_id else 0
            for name, sign in how.items():
                self.levels[key][name] += sign * taken
            line[source] -= taken if source == "open" else 0
            line[column] += taken
            quantity -= taken

    def settle(self, reservation: UUID) -> None:
        lines = self.lines[reservation].values()
        if not any(line["open"] for line in lines):
            self.states[reservation] = "fulfilled" if any(line["fulfilled"] for line in lines) else "released"

    # --- staff ---

    @rule(product=products, place=places, quantity=st.integers(0, 20))
    def receive(self, product, place, quantity):
        level = [inventory.Level(place, quantity)]
        transactions.run(
            lambda: ledger.receive(product_id=self.ids[product], levels=level, caller=SYSTEM, reference="", note="")
        )
        self.level(product, place)["good"] += quantity

    @rule(product=products, place=places, delta=st.integers(-12, 12).filter(bool))
    def adjust(self, product, place, delta):
        level = self.level(product, place)
        change = {"product_id": self.ids[product], "warehouse": place, "delta": delta}
        work = lambda: inventory.adjust(**change, reason="correction", note="", reference="", caller=SYSTEM)
        if delta < 0 and -delta > self.may_go(product, place):
            with pytest.raises((inventory.StockPromised, inventory.InsufficientStock)):
                transactions.run(work)
            return
        assert transactions.run(work).on_hand == self.on_hand(product, place) + delta
        level["good"] += delta
        if delta < 0:
            self.took(product)

    @rule(product=products, place=places, quantity=st.integers(0, 15), wrong=st.sampled_from([0, 0, 0, 1, -1]))
    def set_on_hand(self, product, place, quantity, wrong):
        level, on_hand = self.level(product, place), self.on_hand(product, place)
        expected = on_hand + wrong
        change = {"product_id": self.ids[product], "warehouse": place, "quantity": quantity}
        work = lambda: ledger.set_on_hand(
            **change, expected_on_hand=expected, reason="correction", note="", reference="", caller=SYSTEM
        )
        if wrong:
            with pytest.raises(inventory.StaleQuantity) as refused:
                transactions.run(work)
            assert refused.value.current == on_hand
            return
        if on_hand - quantity > self.may_go(product, place):
            with pytest.raises((inventory.StockPromised, inventory.InsufficientStock)):
                transactions.run(work)
        else:
            transactions.run(work)
            level["good"] += quantity - on_hand
            self.took(product)

    @rule(product=products, source=places, quantity=units)
    def transfer(self, product, source, quantity):
        target = WAREHOUSES[1 - WAREHOUSES.index(source)]
        level = self.level(product, source)
        items = [inventory.Demand(self.ids[product], quantity)]
        places = {"from_warehouse": source, "to_warehouse": target}
        work = lambda: ledger.transfer(transfer_id=new_id(), **places, items=items, note="", caller=SYSTEM)
        if quantity > self.may_go(product, source):
            with pytest.raises((inventory.StockPromised, inventory.InsufficientStock)):
                transactions.run(work)
        else:
            transactions.run(work)
            level["good"] -= quantity
            self.level(product, target)["good"] += quantity
            self.took(product)

    @rule(product=products, quantity=units)
    def sell(self, product, quantity):
        self.sold(product, quantity)

    def sold(self, product: int, quantity: int) -> None:
        work = lambda: ledger.sell(
            product_id=self.ids[product], quantity=quantity, note="", reference="", caller=SYSTEM
        )
        free = {place: self.may_go(product, place) for place in WAREHOUSES}
        if sum(free.values()) < quantity:
            with pytest.raises(inventory.InsufficientStock) as refused:
                transactions.run(work)
            assert refused.value.shortages[0].available == sum(free.values())
            return
        movements = transactions.run(work)
        assert -sum(movement.on_hand_delta for movement in movements) == quantity
        for movement in movements:
            assert -movement.on_hand_delta <= free[movement.warehouse]
            self.level(product, movement.warehouse)["good"] += movement.on_hand_delta
        self.took(product)

    @rule(
        product=products,
        place=places,
        counted=st.integers(0, 15),
        meanwhile=st.sampled_from(["nothing", "nothing", "arrival", "correction", "sale"]),
    )
    def count(self, product, place, counted, meanwhile):
        level, book = self.level(product, place), self.on_hand(product, place)
        count_id = new_id()
        transactions.run(lambda: counting.open_count(count_id=count_id, warehouse=place, note="", caller=SYSTEM))
        transactions.run(
            lambda: counting.record_count(count_id, product_id=self.ids[product], counted=counted, caller=SYSTEM)
        )
        corrected = self.happen(product, place, meanwhile)
        closed = transactions.run(lambda: posting.close_count(count_id, caller=SYSTEM))
        if counted == book and not corrected:
            assert closed.obstacles == []
            return
        if counted != book:
            self.took(product)
        after = self.on_hand(product, place) + counted - book
        # What is missing beyond the good units was bad.
        bad = min(level["bad"], max(0, after))
        lost = level["good"] - (after - bad)
        if corrected or after < 0 or lost > self.may_go(product, place):
            assert [found.product_id for found in closed.obstacles] == [self.ids[product]]
            assert ("Count it again" in closed.obstacles[0].detail) == (corrected or after < 0)
            assert closed.posted == []
            transactions.run(lambda: counting.abandon_count(count_id, caller=SYSTEM))
            return
        assert closed.obstacles == []
        assert closed.count.closed_at is not None
        level["good"], level["bad"] = after - bad, bad

    def happen(self, product: int, place: str, what: str) -> bool:
        """Have something happen between counting and closing; tell whether it was a correction of the row."""
        row = {"product_id": self.ids[product], "warehouse": place, "note": "", "reference": "", "caller": SYSTEM}
        if what in ("arrival", "correction"):
            reason = "received" if what == "arrival" else "found"
            transactions.run(lambda: inventory.adjust(**row, delta=1, reason=reason))
            self.level(product, place)["good"] += 1
        elif what == "sale":
            self.sold(product, 1)
        return what == "correction"

    @rule(product=products, place=places, limit=st.integers(0, 9))
    def set_backorder_limit(self, product, place, limit):
        level = self.level(product, place)
        row = {"product_id": self.ids[product], "warehouse": place}
        work = lambda: inventory.set_policy(**row, changes={"backorder_limit": limit}, caller=SYSTEM)
        promised = level["reserved"] - self.overdue_units(self.ids[product], place) + level["committed"]
        if promised > level["good"] + limit:
            with pytest.raises(inventory.StockPromised):
                transactions.run(work)
        else:
            transactions.run(work)
            self.limits[self.ids[product], place] = limit
            self.took(product)

    @rule(product=products, place=places, delta=st.integers(-4, 4).filter(bool), discard=st.booleans())
    def set_apart_or_discard(self, product, place, delta, discard):
        level = self.level(product, place)
        row = {"product_id": self.ids[product], "warehouse": place}
        why = {"reason": "damaged", "note": "", "reference": "", "caller": SYSTEM}
        if discard:
            work = lambda: ledger.discard(**row, quantity=abs(delta), **why)
            possible, change = abs(delta) <= level["bad"], {"bad": -abs(delta)}
        else:
            work = lambda: ledger.set_apart(**row, delta=delta, **why)
            possible = delta <= self.may_go(product, place) if delta > 0 else -delta <= level["bad"]
            change = {"good": -delta, "bad": delta}
        if not possible:
            with pytest.raises((inventory.StockPromised, inventory.InsufficientStock)):
                transactions.run(work)
            return
        transactions.run(work)
        for name, units in change.items():
            level[name] += units
        if delta > 0 and not discard:
            self.took(product)

    # --- reservations ---

    @rule(target=reservations, product=products, place=places, limit=st.integers(3, 9), quantity=units)
    def promise_on_backorder_what_is_damaged(self, product, place, limit, quantity):
        """Have a batch go bad of which more is promised than there is, the way to where physics is forgotten."""
        self.set_backorder_limit(product, place, limit)
        if batch := self.may_go(product, place):
            self.set_apart_or_discard(product, place, batch, False)
        made = self.reserve([(product, quantity)])
        if made is not None:
            self.confirm(made)
            self.fulfill(made)
            return made
        return multiple()

    @rule(product=products, quantity=st.integers(2, 4))
    def promise_more_than_is_there_to_two(self, product, quantity):
        """Have the younger of two ask first for units that are enough for one, the way to where turns are forgotten."""
        for place in WAREHOUSES:
            self.set_backorder_limit(product, place, 9)
        made = [self.reserve([(product, quantity)]) for _ in range(2)]
        for reservation in filter(None, made):
            self.confirm(reservation)
        if all(made):
            self.fulfill(made[1])
            self.fulfill(made[0])

    @rule(target=reservations, wanted=demands)
    def reserve_any(self, wanted):
        made = self.reserve(wanted)
        return multiple() if made is None else made

    def reserve(self, wanted):
        demand: dict[int, int] = {}
        for product, quantity in wanted:
            demand[self.ids[product]] = demand.get(self.ids[product], 0) + quantity
        free = {product_id: self.free(product_id) for product_id in demand}
        short = [inventory.Shortage(p, n, free[p]) for p, n in sorted(demand.items()) if free[p] < n]
        pairs = [(self.ids[product], quantity) for product, quantity in wanted]
        if short:
            # Overdue holds on the short products are ended though they are not enough, and the numbers are theirs too.
            with pytest.raises(inventory.InsufficientStock) as refused:
                factories.reservation(*pairs)
            assert refused.value.shortages == short
            self.reclaim()
            return None
        made = factories.reservation(*pairs)
        self.reclaim()
        self.states[made.id] = "held"
        self.lines[made.id] = {}
        for line in made.lines:
            level = self.levels[line.product_id, line.warehouse]
            level["reserved"] += line.quantity
            line_of = {"open": line.quantity, "fulfilled": 0, "released": 0, "returned": 0}
            self.lines[made.id][line.product_id, line.warehouse] = line_of
        assert {p: sum(li.quantity for li in made.lines if li.product_id == p) for p in demand} == demand
        return made.id

    def reclaim(self) -> None:
        """Learn which overdue holds the reserve has ended; that it was right to is judged by the numbers."""
        for (hold,) in fetch("SELECT id FROM inventory_reservation WHERE state = 'expired'"):
            if self.states[hold] == "held":
                assert hold in self.overdue
                self.end(hold, "expired", "released", {"reserved": -1})

    @rule(reservation=reservations)
    def let_the_deadline_pass(self, reservation):
        fetch("UPDATE inventory_reservation SET expires_at = created_at WHERE id = %s RETURNING 1", reservation)
        self.overdue.add(reservation)

    @rule()
    def expire_due(self):
        due = [hold for hold in self.overdue if self.states[hold] == "held"]
        assert transactions.run(lambda: inventory.expire_due(limit=100)) == len(due)
        for hold in due:
            self.end(hold, "expired", "released", {"reserved": -1})

    @rule(reservation=reservations)
    def extend(self, reservation):
        work = lambda: holds.extend(reservation, owner="test", ttl=timedelta(hours=1), usual=timedelta(0),
                                        max_age=timedelta(hours=2), caller=SYSTEM)  # fmt: skip
        if self.states[reservation] == "held":
            transactions.run(work)
            self.overdue.discard(reservation)
        else:
            with pytest.raises(inventory.InvalidTransition):
                transactions.run(work)

    @rule(reservation=reservations)
    def confirm(self, reservation):
        work = lambda: inventory.confirm(reservation, owner="test", caller=SYSTEM)
        if self.states[reservation] not in ("held", "confirmed", "fulfilled"):
            with pytest.raises(inventory.InvalidTransition) as refused:
                transactions.run(work)
            assert refused.value.current_status == self.states[reservation]
            return
        transactions.run(work)
        if self.states[reservation] == "held":
            for key, line in self.lines[reservation].items():
                self.levels[key]["reserved"] -= line["open"]
                self.levels[key]["committed"] += line["open"]
            self.states[reservation] = "confirmed"
            self.turns.append(reservation)

    @rule(reservation=reservations)
    def release(self, reservation):
        state = self.states[reservation]
        work = lambda: inventory.release(reservation, owner="test", caller=SYSTEM)
        if state in ("fulfilled", "expired"):
            with pytest.raises(inventory.InvalidTransition):
                transactions.run(work)
            return
        transactions.run(work)
        if state != "released":
            level = "reserved" if state == "held" else "committed"
            self.end(reservation, "released", "released", {level: -1})
            self.settle(reservation)

    @rule(reservation=reservations, product=products, quantity=units, ship=st.booleans())
    def part(self, reservation, product, quantity, ship):
        """Ship or release some units of one product."""
        state, product_id = self.states[reservation], self.ids[product]
        step = inventory.fulfill if ship else inventory.release
        items = [inventory.Demand(product_id, quantity)]
        work = lambda: step(reservation, owner="test", items=items, caller=SYSTEM)
        is_open = sum(line["open"] for (key, _), line in self.lines[reservation].items() if key == product_id)
        if state not in (("confirmed",) if ship else ("held", "confirmed")) or is_open < quantity:
            with pytest.raises(inventory.InvalidTransition):
                transactions.run(work)
            return
        if ship and not self.is_there(reservation, product_id, quantity):
            with pytest.raises(inventory.InsufficientStock):
                transactions.run(work)
            return
        if ship and not self.is_in_turn(reservation, product_id, quantity):
            with pytest.raises(inventory.StockPromised):
                transactions.run(work)
            return
        transactions.run(work)
        level = "reserved" if state == "held" else "committed"
        how = {"good": -1, level: -1} if ship else {level: -1}
        self.take(reservation, product_id, quantity, "open", "fulfilled" if ship else "released", how)
        self.settle(reservation)

    @rule(reservation=reservations)
    def fulfill(self, reservation):
        state = self.states[reservation]
        work = lambda: inventory.fulfill(reservation, owner="test", caller=SYSTEM)
        if state != "confirmed":
            with pytest.raises(inventory.InvalidTransition):
                transactions.run(work)
            return
        if not self.is_there(reservation, None, 0):
            with pytest.raises(inventory.InsufficientStock):
                transactions.run(work)
            return
        if not self.is_in_turn(reservation, None, 0):
            with pytest.raises(inventory.StockPromised):
                transactions.run(work)
            return
        transactions.run(work)
        self.end(reservation, "fulfilled", "fulfilled", {"good": -1, "committed": -1})

    @rule(reservation=reservations, product=products, quantity=units, resalable=st.booleans())
    def take_back(self, reservation, product, quantity, resalable):
        product_id = self.ids[product]
        items = [inventory.Demand(product_id, quantity)]
        work = lambda: inventory.take_back(
            reservation, owner="test", items=items, resalable=resalable, note="", caller=SYSTEM
        )
        lines = [line for (key, _), line in self.lines[reservation].items() if key == product_id]
        if sum(line["fulfilled"] - line["returned"] for line in lines) < quantity:
            with pytest.raises(inventory.ExceedsOpen):
                transactions.run(work)
            return
        transactions.run(work)
        how = {"good": 1} if resalable else {"bad": 1}
        self.take(reservation, product_id, quantity, "fulfilled", "returned", how)

    # --- after every step ---

    @invariant()
    def the_stock_is_what_the_model_says(self):
        columns = "s.product_id, w.code, s.on_hand, s.reserved, s.committed, s.unavailable"
        rows = fetch(f"SELECT {columns} FROM inventory_stock s JOIN inventory_warehouse w ON w.id = s.warehouse_id")
        found = {(product_id, code): tuple(levels) for product_id, code, *levels in rows if any(levels)}
        expected = {
            key: (level["good"] + level["bad"], level["reserved"], level["committed"], level["bad"])
            for key, level in self.levels.items()
            if any(level.values())
        }
        assert found == expected
        # Nothing is shipped, moved or set aside that does not lie there, however much may be promised.
        assert all(level["good"] >= 0 and level["bad"] >= 0 for level in self.levels.values())

    @invariant()
    def the_books_are_right(self):
        assert fetch(DATA_CHECKS) == []

    @invariant()
    def reservations_are_what_the_model_says(self):
        assert dict(fetch("SELECT id, state FROM inventory_reservation")) == self.states
        assert dict(fetch("SELECT reservation_id, sum(open) FROM inventory_reservationline GROUP BY 1")) == {
            reservation: sum(line["open"] for line in lines.values()) for reservation, lines in self.lines.items()
        }

    @invariant()
    def check_says_what_the_model_says(self):
        for product_id in self.ids:
            asked = availability.check([inventory.Demand(product_id, 1_000_000)])
            assert asked[0].available_quantity == self.free(product_id)

    def teardown(self) -> None:
        connection.close()


TestBooks = Books.TestCase
TestBooks.pytestmark = [pytest.mark.usefixtures("database")]
if hypothesis.settings.get_current_profile_name() != "fuzz":

    class ManyBooks(Books):
        pass

    TestManyBooks = ManyBooks.TestCase
    TestManyBooks.pytestmark = [pytest.mark.usefixtures("database"), pytest.mark.long]
    TestBooks.settings = hypothesis.settings(max_examples=15, stateful_step_count=50, deadline=None)
    TestManyBooks.settings = hypothesis.settings(TestBooks.settings, max_examples=500)


def promises_may_leave(levels: Levels) -> int:
    return levels.on_hand + levels.backorder_limit - levels.promised - levels.unavailable


def ship_whatever_is_on_hand(lines, parts) -> None:
    on_hand = {(line.product_id, line.warehouse_id): line.on_hand for line in lines}
    if any(part.quantity > on_hand[part.product_id, part.warehouse_id] for part in parts):
        raise inventory.InsufficientStock([])


@pytest.mark.parametrize(
    ("where", "name", "bug"),
    [
        (Levels, "free", property(promises_may_leave)),
        (fulfillment, "_refuse_absent", ship_whatever_is_on_hand),
        (fulfillment, "_refuse_out_of_turn", lambda *given: None),
    ],
    ids=["taken", "shipped", "shipped before others"],
)
def test_a_bug_of_physical_units_is_found(database, monkeypatch, where, name, bug):
    monkeypatch.setattr(where, name, bug)
    quick = hypothesis.settings(
        max_examples=100,
        stateful_step_count=50,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    with pytest.raises((AssertionError, pytest.fail.Exception, IntegrityError, inventory.StockPromised)):
        run_state_machine_as_test(Books, settings=quick)
