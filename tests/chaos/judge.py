"""Holds the journals of clients against the database's rows. Every finding is a broken promise, told in a sentence.

By now each operation is either done, once, or refused, without effect; the database must have exactly what that adds up
to. Nothing here asks anybody: it judges what it is given, so that each of its checks can be shown to fail.
"""

import json
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

import psycopg
from psycopg.rows import namedtuple_row

from tests.chaos.journal import Attempt, Entry
from tests.chaos.nemesis import Fault

RECOVERY_SECONDS = 30
# Which of an order's events each operation makes.
EVENTS = {
    "checkout": ("placed",),
    "confirm": ("confirmed",),
    "cancel": ("cancelled",),
    "fulfill": ("partially_fulfilled", "fulfilled"),
    "return": ("returned",),
}
# Which movement shows when each operation was; one of a reservation has the order's number, others their own name.
MOVEMENT_OF = {"checkout": "reserve", "confirm": "commit", "cancel": "release"}
BY_NAME = ("adjust", "receive", "transfer", "return")
ORDERS = "SELECT id::text, number, user_id, status, total FROM orders_order"
LINES = """
SELECT order_id::text, product_id, sum(quantity)::int AS quantity, sum(fulfilled)::int AS fulfilled,
       sum(returned)::int AS returned, sum(cancelled)::int AS cancelled
  FROM orders_orderline GROUP BY order_id, product_id
"""
EVENT_ROWS = "SELECT order_id::text, event, count(*)::int FROM orders_orderevent GROUP BY order_id, event"
MOVEMENTS = """
SELECT product_id, w.code AS warehouse, m.seq, m.kind, m.reference, m.note, m.on_hand_delta, m.unavailable_delta,
       m.on_hand, m.reserved, m.committed, m.unavailable, extract(epoch FROM m.created_at)::float AS at
  FROM inventory_movement m JOIN inventory_warehouse w ON w.id = m.warehouse_id
 ORDER BY product_id, warehouse_id, seq
"""
ON_HAND = "SELECT product_id, sum(on_hand)::int FROM inventory_stock GROUP BY product_id"


@dataclass(frozen=True)
class Books:
    """The database's rows, as they are in the end."""

    orders: dict[str, Any]
    lines: dict[str, dict[int, Any]]  # by order and product
    events: dict[str, Counter[str]]
    movements: list[Any]
    on_hand: dict[int, int]
    log: str = ""  # of PostgreSQL

    @classmethod
    def read(cls, url: str, log: str) -> "Books":
        """Read all of it as of one moment: the workers go on expiring holds."""
        with psycopg.connect(url, row_factory=namedtuple_row) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            orders = {row.id: row for row in connection.execute(ORDERS)}
            lines: dict[str, dict[int, Any]] = defaultdict(dict)
            for row in connection.execute(LINES):
                lines[row.order_id][row.product_id] = row
            events: dict[str, Counter[str]] = defaultdict(Counter)
            for order_id, event, times in connection.execute(EVENT_ROWS):
                events[order_id][event] = times
            on_hand = dict(connection.execute(ON_HAND).fetchall())
            return cls(orders, lines, events, connection.execute(MOVEMENTS).fetchall(), on_hand, log)


@dataclass
class Judge:
    """Judges one run: what was asked and answered, what is in the books, what there was in the beginning."""

    entries: Sequence[Entry]
    books: Books
    initial: dict[int, int]
    skus: dict[str, int]
    faults: Sequence[Fault] = ()
    ended: float = 0  # when the clients stopped
    backorders: dict[tuple[int, str], int] = field(default_factory=dict)  # limits by product and warehouse
    findings: list[str] = field(default_factory=list)

    def run(self, say: Callable[[str], None]) -> list[str]:
        """Return the findings of all checks."""
        for check in (
            self.answers, self.wishes, self.orders, self.events, self.states, self.deadlines, self.shipments,
            self.staff_operations, self.references, self.units, self.never_oversold, self.physics, self.refusals,
            self.real_time, self.recovery, self.logs,
        ):  # fmt: skip
            before = len(self.findings)
            check()
            say(f"{check.__name__}: {'ok' if len(self.findings) == before else 'BROKEN'}")
        return self.findings

    def answers(self) -> None:
        """All answers to one operation are the same, and such as it may have; another body with a used key is a 422."""
        for entry in self.entries:
            kind = entry.operation.kind
            if len({(attempt.status, attempt.body) for attempt in entry.answers}) > 1:
                self._find(f"{name_of(entry)} has different answers: {', '.join(map(told, entry.answers))}")
            may_have = {422} if kind == "reuse" else {200} if kind == "read" else {200, 201, 409}
            for attempt in entry.attempts:
                if attempt.status == 500 or (attempt.is_decided and attempt.status not in may_have):
                    self._find(f"{name_of(entry)} was answered {told(attempt)}")

    def wishes(self) -> None:
        """What was asked for once is done once, under however many names."""
        done = Counter(entry.operation.wish or entry.operation.key for entry in self._asked if entry.is_done)
        for wish, times in done.items():
            if times > 1:
                self._find(f"{wish} was asked for once and done {times} times")

    def orders(self) -> None:
        """There is an order for each checkout that was acknowledged, as it was acknowledged, and no other."""
        promised = {done.answer["id"]: done.answer for done in self._done("checkout")}
        for order_id in promised.keys() - self.books.orders.keys():
            self._find(f"The order {promised[order_id]['number']} was acknowledged and is not there")
        for order_id in self.books.orders.keys() - promised.keys():
            self._find(f"The order {self.books.orders[order_id].number} is there and was acknowledged to nobody")
        for order_id in promised.keys() & self.books.orders.keys():
            said, row = promised[order_id], self.books.orders[order_id]
            if (said["number"], said["user_id"], said["total"]) != (row.number, row.user_id, f"{row.total:.2f}"):
                self._find(f"The order {row.number} is not what was acknowledged: {row}")
            ordered = {product_id: line.quantity for product_id, line in self.books.lines[order_id].items()}
            if summed(said["items"]) != ordered:
                self._find(f"The lines of order {row.number} are not what was acknowledged")

    def events(self) -> None:
        """Each step that was acknowledged is in its order's history once, and none that was not."""
        for order_id in self.books.orders:
            found = self.books.events[order_id]
            for kind, names in EVENTS.items():
                happened, acknowledged = sum(found[name] for name in names), self._steps[order_id][kind]
                if happened != acknowledged:
                    self._find(f"Order {order_id}: {kind} acknowledged {acknowledged} times, happened {happened} times")

    def states(self) -> None:
        """Each order is in the state that its acknowledged steps lead to; only what nobody paid for is expired."""
        for order_id, row in self.books.orders.items():
            expected = self._expected_states(order_id)
            if row.status not in expected:
                self._find(f"Order {row.number} is {row.status}, where its steps make it {' or '.join(expected)}")

    def _expected_states(self, order_id: str) -> tuple[str, ...]:
        steps, lines = self._steps[order_id], self.books.lines[order_id].values()
        if steps["cancel"]:
            return ("cancelled",)
        if not steps["confirm"]:
            return ("pending", "expired")
        if all(line.fulfilled == line.quantity for line in lines):
            return ("fulfilled",)
        return ("partially_fulfilled",) if any(line.fulfilled for line in lines) else ("confirmed",)

    def deadlines(self) -> None:
        """No hold was expired before its deadline, and none whose order was paid or cancelled by then."""
        until = {
            done.answer["number"]: _moment(done.answer["expires_at"])
            for done in self._done("checkout")
            if done.answer["expires_at"]
        }
        for rows in self._rows.values():
            over: set[str] = set()
            for row in rows:
                if row.kind in ("commit", "release"):
                    over.add(row.reference)
                if row.kind == "expire" and (row.reference in over or row.at < until.get(row.reference, 0)):
                    self._find(f"The hold of {row.reference} on product {row.product_id} was expired, and was not due")

    def shipments(self) -> None:
        """Of each order as many units were shipped and taken back as was acknowledged."""
        for kind, column in (("fulfill", "fulfilled"), ("return", "returned")):
            moved = self._moved(kind)
            for order_id, lines in self.books.lines.items():
                for product_id, line in lines.items():
                    acknowledged, found = moved[order_id][product_id], getattr(line, column)
                    if found != acknowledged:
                        what = f"{acknowledged} acknowledged as {column}, {found} there"
                        self._find(f"Order {order_id}, product {product_id}: {what}")

    def staff_operations(self) -> None:
        """Adjustments, transfers and imports moved what was asked for, once, or nothing."""
        found: dict[str, list[tuple[int, str, int]]] = defaultdict(list)
        for row in self.books.movements:
            if row.kind in ("adjust", "receive", "transfer"):
                found[_name_in(row)].append((row.product_id, row.warehouse, row.on_hand_delta))
        for entry in self._asked:
            if entry.operation.kind in ("adjust", "transfer", "import"):
                expected = sorted(self._wanted(entry)) if entry.is_done else []
                moved = sorted(found[entry.operation.key])
                if moved != expected:
                    self._find(f"{name_of(entry)} should have moved {expected} and moved {moved}")

    def references(self) -> None:
        """Nothing is in the ledger that nobody asked for."""
        known = {row.number for row in self.books.orders.values()} | {entry.operation.key for entry in self._asked}
        for row in self.books.movements:
            is_first = row.seq == 1 and row.note == "initial stock"
            if _name_in(row) not in known and not is_first:
                self._find(f"A movement of product {row.product_id} is for {_name_in(row)!r}, which nobody asked for")

    def units(self) -> None:
        """What is on hand is what there was, and what came, less what went, by the clients' journals alone."""
        expected = Counter(self.initial)
        for entry in self._asked:
            if entry.is_done and entry.operation.kind in ("adjust", "transfer", "import"):
                for product_id, _, units in self._wanted(entry):
                    expected[product_id] += units
        for kind, sign in (("fulfill", -1), ("return", 1)):
            for products in self._moved(kind).values():
                for product_id, units in products.items():
                    expected[product_id] += sign * units
        for product_id, on_hand in self.books.on_hand.items():
            if on_hand != expected[product_id]:
                self._find(f"Product {product_id}: {on_hand} on hand, the journals make it {expected[product_id]}")

    def never_oversold(self) -> None:
        """At no moment more was promised than there was: not even when it was put right later."""
        for row in self.books.movements:
            limit = self.backorders.get((row.product_id, row.warehouse), 0)
            if row.on_hand + limit < row.reserved + row.committed + row.unavailable:
                self._find(f"Product {row.product_id} in {row.warehouse} was oversold: {row}")

    def physics(self) -> None:
        """At no moment more was unavailable than was there, so none of those was shipped; and what staff took or set
        aside was promised to nobody, however much may be promised on backorder."""
        for row in self.books.movements:
            where = f"product {row.product_id} in {row.warehouse}"
            sellable = row.on_hand - row.unavailable
            if sellable < 0:
                self._find(f"More was unavailable than on hand of {where}: {row}")
            is_taken = row.kind in ("adjust", "transfer") and row.unavailable_delta > row.on_hand_delta
            if is_taken and sellable < row.reserved + row.committed:
                self._find(f"Units that are promised were taken of {where}: {row}")

    def refusals(self) -> None:
        """Nobody was told "sold out" but by what was there at some moment between question and answer.

        Who is refused has locked the rows, so the state that is told has been in the ledger in between.
        """
        for entry in self._asked:
            first = next(iter(entry.answers), None)
            is_sale = entry.operation.kind in ("checkout", "confirm", "transfer")
            if first is None or not is_sale or b'"insufficient_stock"' not in first.body:
                continue
            place = entry.operation.body.get("from_warehouse", "")
            for shortage in json.loads(first.body)["shortages"]:
                asked, said = shortage["requested"], shortage["available"]
                were = self._free(shortage["product_id"], place, entry.sent, first.got)
                could_be: Collection[int] = were
                if place:  # a transfer counts overdue holds as ended; as it is refused, they are not
                    without_holds = self._free(shortage["product_id"], f"{place}, no holds", entry.sent, first.got)
                    could_be = range(min(were), max(without_holds) + 1)
                if said >= asked or said not in could_be:
                    what = (
                        f"product {shortage['product_id']}: {asked} asked, {said} said to be there, where {were} were"
                    )
                    self._find(f"{name_of(entry)} was refused {what}")

    def real_time(self) -> None:
        """What was answered before something else was asked comes before it in the ledger of a row.

        Not judged: shipments, of which an order may have several, and what the shop does by itself.
        """
        for rows in self._rows.values():
            earliest_answer, whose = float("inf"), ""
            for row in reversed(rows):
                span = self._spans.get((row.kind, row.note)) or self._spans.get((row.kind, row.reference))
                if span is None:
                    continue
                sent, got = span
                if earliest_answer < sent:
                    what = f"{row.kind} {_name_in(row)} comes before {whose}"
                    self._find(f"Product {row.product_id} in {row.warehouse}: {what}, which was answered before")
                if got < earliest_answer:
                    earliest_answer, whose = got, f"{row.kind} {_name_in(row)}"

    def recovery(self) -> None:
        """After each fault somebody's write succeeds on every server within half a minute."""
        servers = {attempt.server for entry in self.entries for attempt in entry.attempts}
        for server in servers:
            moments = sorted(
                attempt.got
                for entry in self._asked
                for attempt in entry.attempts
                if attempt.is_done and attempt.server == server and attempt.got <= self.ended
            )
            for fault in self.faults:
                following = bisect_left(moments, fault.ended)
                done_at = moments[following] if following < len(moments) else self.ended
                if done_at - fault.ended > RECOVERY_SECONDS:
                    waited = done_at - fault.ended
                    self._find(f"After {fault.kind} ({fault.what}) server {server} did nothing for {waited:.0f} s")

    def logs(self) -> None:
        """No deadlock, nothing that a constraint had to stop, no page that is not what was written."""
        # The queue of jobs finds out by a constraint of its own that a chore waits to be done already.
        lines = [line for line in self.books.log.splitlines() if '"procrastinate_jobs_queueing_lock' not in line]
        for sign in ("deadlock detected", " violates ", "invalid page", "page verification failed"):
            if found := sum(sign in line for line in lines):
                self._find(f"PostgreSQL's log has {found} times: {sign}")

    # --- Helpers -----------------------------------------------------------------------------------------------------

    def _find(self, sentence: str) -> None:
        self.findings.append(sentence)

    @cached_property
    def _asked(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.operation.writes]

    def _done(self, kind: str) -> Iterator["Done"]:
        for entry in self._asked:
            if entry.operation.kind == kind and entry.is_done:
                # Not simply the first: a shop that is broken tells twins one thing and another.
                done = next(attempt for attempt in entry.answers if attempt.is_done)
                yield Done(entry, json.loads(done.body))

    @cached_property
    def _steps(self) -> dict[str, Counter[str]]:
        """How often each step of each order was acknowledged."""
        steps: dict[str, Counter[str]] = defaultdict(Counter)
        for kind in EVENTS:
            for done in self._done(kind):
                steps[done.answer["id"]][kind] += 1
        return steps

    def _moved(self, kind: str) -> dict[str, Counter[int]]:
        moved: dict[str, Counter[int]] = defaultdict(Counter)
        for done in self._done(kind):
            moved[done.answer["id"]].update(summed(done.entry.operation.body["items"]))
        return moved

    def _wanted(self, entry: Entry) -> list[tuple[int, str, int]]:
        """Return product, warehouse and units of what an operation of the staff asks to move."""
        body = entry.operation.body
        if entry.operation.kind == "import":
            rows = [line.split(",") for line in body.splitlines()[1:]]
            return [(self.skus[sku], warehouse, int(quantity)) for sku, warehouse, quantity, _ in rows]
        if entry.operation.kind == "transfer":
            return [
                (item["product_id"], warehouse, sign * item["quantity"])
                for item in body["items"]
                for warehouse, sign in ((body["from_warehouse"], -1), (body["to_warehouse"], 1))
            ]
        product_id = int(entry.operation.path.split("/")[-2])
        if body["mode"] in ("unavailable", "discard"):
            return [(product_id, body["warehouse"], -body["quantity"] if body["mode"] == "discard" else 0)]
        return [(product_id, body["warehouse"], body["quantity"] - body.get("expected_on_hand", 0))]

    @cached_property
    def _rows(self) -> dict[tuple[int, str], list[Any]]:
        rows: dict[tuple[int, str], list[Any]] = defaultdict(list)
        for row in self.books.movements:
            rows[row.product_id, row.warehouse].append(row)
        return rows

    @cached_property
    def _history(self) -> dict[tuple[int, str], tuple[list[float], list[int]]]:
        """Of each product the moments of its movements, and what was free then: in all warehouses for a sale (""), in
        each to be taken away, and there if nothing were held."""
        free: dict[tuple[int, str], int] = defaultdict(int)
        found: dict[tuple[int, str], tuple[list[float], list[int]]] = defaultdict(lambda: ([], []))
        for row in sorted(self.books.movements, key=lambda row: row.at):
            now = row.on_hand - row.unavailable - row.reserved - row.committed
            limit = self.backorders.get((row.product_id, row.warehouse), 0)
            sold_from, without_holds = f"{row.warehouse}, for sale", f"{row.warehouse}, no holds"
            free[row.product_id, ""] += max(0, now + limit) - free[row.product_id, sold_from]
            free[row.product_id, sold_from] = max(0, now + limit)
            free[row.product_id, row.warehouse] = max(0, now)
            free[row.product_id, without_holds] = max(0, now + row.reserved)
            for place in ("", row.warehouse, without_holds):
                moments, were = found[row.product_id, place]
                moments.append(row.at)
                were.append(free[row.product_id, place])
        return found

    def _free(self, product_id: int, place: str, begin: float, end: float) -> set[int]:
        moments, were = self._history[product_id, place]
        before = bisect_right(moments, begin)
        return {*were[max(0, before - 1) : bisect_right(moments, end)], *([] if before else [0])}

    @cached_property
    def _spans(self) -> dict[tuple[str, str], tuple[float, float]]:
        """Of what the ledger names, by kind and reference or note: from when to when it was asked and answered."""
        spans: dict[tuple[str, str], tuple[float, float]] = {}
        for kind, movement in MOVEMENT_OF.items():
            for done in self._done(kind):
                spans[movement, done.answer["number"]] = _span(done.entry)
        # An order that was confirmed after its hold had expired was reserved twice; which a movement is of is not told.
        for row in self.books.movements:
            if row.kind == "expire":
                spans.pop(("reserve", row.reference), None)
        for entry in self._asked:
            if entry.operation.kind in ("adjust", "import", "transfer", "return") and entry.is_done:
                spans.update({(movement, entry.operation.key): _span(entry) for movement in BY_NAME})
        return spans


@dataclass(frozen=True)
class Done:
    """An operation that was acknowledged, and the answer."""

    entry: Entry
    answer: dict[str, Any]


def name_of(entry: Entry) -> str:
    return f"{entry.operation.kind} {entry.operation.key}"


def told(attempt: Attempt) -> str:
    return f"{attempt.status} {attempt.body[:200].decode(errors='replace')}"


def summed(items: Sequence[dict[str, int]]) -> dict[int, int]:
    """Return the units of each product."""
    units: Counter[int] = Counter()
    for item in items:
        units[item["product_id"]] += item["quantity"]
    return dict(units)


def _name_in(row: Any) -> str:
    """Return the name of the operation that a movement is of; the reference of a transfer is the shop's own."""
    name: str = row.note if row.kind == "transfer" else row.reference
    return name


def _span(entry: Entry) -> tuple[float, float]:
    return entry.sent, entry.answers[0].got


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
