"""Holds what clients were told against what the database has. Every finding is a broken promise, told in a sentence.

It runs when all faults are mended. First whatever nobody knows the fate of is asked once more with its key; from then
on each operation is either done, once, or refused, without effect, and the database must have exactly what that adds up
to.
"""

import http.client
import json
import random
import time
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import psycopg
from psycopg.rows import namedtuple_row

from tests.chaos.clients import TIMEOUT, encoded, sign_in
from tests.chaos.journal import Attempt, Entry
from tests.chaos.nemesis import Fault
from tests.chaos.site import STAFF, Site

SETTLE_SECONDS = 30
RECOVERY_SECONDS = 30
REPLAYS = 20_000  # at most; a run of hours draws them by lot
# A transaction may be frozen between its movement, which has the clock's time, and its commit; then the state before it
# is what others see. The server ends it after five seconds.
UNSEEN_SECONDS = 6

# Which of an order's events each operation makes.
EVENTS = {
    "checkout": ("placed",),
    "confirm": ("confirmed",),
    "cancel": ("cancelled",),
    "fulfill": ("partially_fulfilled", "fulfilled"),
    "return": ("returned",),
}
ORDERS = "SELECT id::text, number, user_id, status, total FROM orders_order"
LINES = """
SELECT order_id::text, product_id, sum(quantity)::int AS quantity, sum(fulfilled)::int AS fulfilled,
       sum(returned)::int AS returned, sum(total_price) AS total
  FROM orders_orderline GROUP BY order_id, product_id
"""
MOVEMENTS = """
SELECT product_id, w.code AS warehouse, m.seq, m.kind, m.reference, m.note, m.on_hand_delta, m.on_hand, m.reserved,
       m.committed, m.unavailable, extract(epoch FROM m.created_at)::float AS at
  FROM inventory_movement m JOIN inventory_warehouse w ON w.id = m.warehouse_id
 ORDER BY product_id, warehouse_id, seq
"""


@dataclass(frozen=True)
class Books:
    """The database's rows, as they are in the end."""

    orders: dict[str, Any]
    lines: dict[str, dict[int, Any]]  # by order and product
    events: dict[str, Counter[str]]
    movements: list[Any]
    on_hand: dict[int, int]

    @classmethod
    def read(cls, url: str) -> "Books":
        with psycopg.connect(url, row_factory=namedtuple_row) as connection:
            orders = {row.id: row for row in connection.execute(ORDERS)}
            lines: dict[str, dict[int, Any]] = defaultdict(dict)
            for row in connection.execute(LINES):
                lines[row.order_id][row.product_id] = row
            events: dict[str, Counter[str]] = defaultdict(Counter)
            for order_id, event in connection.execute("SELECT order_id::text, event FROM orders_orderevent"):
                events[order_id][event] += 1
            stock = connection.execute("SELECT product_id, sum(on_hand)::int FROM inventory_stock GROUP BY 1")
            return cls(orders, lines, events, connection.execute(MOVEMENTS).fetchall(), dict(stock.fetchall()))


class Verifier:
    """Judges one run."""

    def __init__(
        self, site: Site, entries: dict[str, Entry], faults: Sequence[Fault], initial: dict[int, int], seed: int
    ) -> None:
        self.site, self.faults, self.initial = site, faults, initial
        self.asked = [entry for entry in entries.values() if entry.operation.writes and entry.attempts]
        self.random = random.Random(seed)
        self.tokens: dict[str, str] = {}
        self.findings: list[str] = []
        self.settled = 0  # operations whose fate nobody knew before
        self.replayed = 0

    def run(self, say: Callable[[str], None]) -> list[str]:
        """Return all findings."""
        self.settle()
        say(f"{self.settled} operations of unknown fate asked for again with their key")
        self.replay()
        say(f"{self.replayed} answers asked for again")
        self.books = Books.read(self.site.cluster.url)
        for check in (
            self.answers, self.orders, self.events, self.shipments, self.staff_operations, self.references, self.units,
            self.never_oversold, self.refusals, self.real_time, self.recovery, self.logs, self.verify_stock,
        ):  # fmt: skip
            before = len(self.findings)
            check()
            say(f"{check.__name__}: {'ok' if len(self.findings) == before else 'BROKEN'}")
        return self.findings

    # --- What nobody knows -------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Ask once more for whatever has no answer, in the order in which it was asked."""
        for entry in sorted(self.asked, key=lambda entry: entry.sent):
            if not entry.answers:
                self.settled += 1
                deadline = time.time() + SETTLE_SECONDS
                last = None
                # A 500 is no answer, and asking again does not help.
                while not entry.answers and time.time() < deadline and (last is None or last.status != 500):
                    last = self._send(entry)
                    entry.attempts.append(last)
                if last and not entry.answers:
                    self._find(f"{_name(entry)} gets no answer: {last.status} {last.why}")

    def replay(self) -> None:
        """Ask once more for what was answered: the same answer must come, as a replay."""
        answered = [entry for entry in self.asked if entry.answers and entry.operation.kind != "reuse"]
        for entry in self.random.sample(answered, min(REPLAYS, len(answered))):
            self.replayed += 1
            again, first = self._send(entry), entry.answers[0]
            if (again.status, again.body) != (first.status, first.body):
                self._find(f"{_name(entry)} was answered {_told(first)} and is now answered {_told(again)}")
            elif not again.replayed:
                self._find(f"{_name(entry)} was answered {_told(first)}, and the answer was not kept")

    def _send(self, entry: Entry) -> Attempt:
        operation = entry.operation
        attempt = Attempt(sent=time.time())
        try:
            if operation.who not in self.tokens:
                self.tokens[operation.who] = sign_in(self.site.ports[0], _account(operation.who))
            connection = http.client.HTTPConnection("127.0.0.1", self.site.ports[0], timeout=TIMEOUT)
            data, content_type = encoded(operation.body)
            headers = {
                "Authorization": f"Bearer {self.tokens[operation.who]}",
                "Idempotency-Key": operation.key.removesuffix("/reused"),
                "Content-Type": content_type,
            }
            connection.request(operation.method, operation.path, data, headers)
            answer = connection.getresponse()
            attempt.body = answer.read()
            attempt.replayed = answer.headers.get("Idempotent-Replayed") == "true"
            if answer.status == 401:
                del self.tokens[operation.who]
            else:
                attempt.status = answer.status
        except (OSError, http.client.HTTPException, KeyError) as error:
            attempt.why = repr(error)
        attempt.got = time.time()
        return attempt

    # --- What was promised -------------------------------------------------------------------------------------------

    def answers(self) -> None:
        """All answers to one operation are the same; none is a 500; another body with a used key is a 422."""
        for entry in self.asked:
            told = {(attempt.status, attempt.body) for attempt in entry.answers}
            if len(told) > 1:
                self._find(f"{_name(entry)} has {len(told)} different answers")
            for attempt in entry.attempts:
                if attempt.status in (400, 500):
                    self._find(f"{_name(entry)} was answered {_told(attempt)}")
            if entry.operation.kind == "reuse" and any(attempt.status != 422 for attempt in entry.answers):
                self._find(f"{_name(entry)} used a key for another body and was answered {_told(entry.answers[0])}")

    def orders(self) -> None:
        """There is an order for each checkout that was acknowledged, as it was acknowledged, and no other."""
        promised = {entry.done["id"]: entry.done for entry in self._done("checkout")}
        for order_id in promised.keys() - self.books.orders.keys():
            self._find(f"The order {promised[order_id]['number']} was acknowledged and is not there")
        for order_id in self.books.orders.keys() - promised.keys():
            self._find(f"The order {self.books.orders[order_id].number} is there and was acknowledged to nobody")
        for order_id in promised.keys() & self.books.orders.keys():
            said, row = promised[order_id], self.books.orders[order_id]
            if (said["number"], said["user_id"], said["total"]) != (row.number, row.user_id, f"{row.total:.2f}"):
                self._find(f"The order {row.number} is not what was acknowledged: {row}")
            ordered = {product_id: line.quantity for product_id, line in self.books.lines[order_id].items()}
            if _summed(said["items"]) != ordered:
                self._find(f"The lines of order {row.number} are not what was acknowledged")

    def events(self) -> None:
        """Each step that was acknowledged is in its order's history once, and none that was not."""
        expected: dict[str, Counter[str]] = defaultdict(Counter)
        for kind in EVENTS:
            for entry in self._done(kind):
                expected[entry.done["id"]][kind] += 1
        for order_id in self.books.orders.keys() | expected.keys():
            found = self.books.events[order_id]
            for kind, names in EVENTS.items():
                happened, told = sum(found[name] for name in names), expected[order_id][kind]
                if happened != told:
                    self._find(f"Order {order_id}: {kind} acknowledged {told} times, and happened {happened} times")

    def shipments(self) -> None:
        """Of each order as many units were shipped and taken back as was acknowledged."""
        for kind, column in (("fulfill", "fulfilled"), ("return", "returned")):
            moved = self._moved(kind)
            for order_id, lines in self.books.lines.items():
                for product_id, line in lines.items():
                    told = moved[order_id][product_id]
                    if getattr(line, column) != told:
                        found = getattr(line, column)
                        self._find(
                            f"Order {order_id}, product {product_id}: {told} acknowledged {column}, {found} there"
                        )

    def staff_operations(self) -> None:
        """Adjustments, transfers and imports are in the ledger as they were acknowledged, once, or not at all."""
        found: dict[str, list[Any]] = defaultdict(list)
        for row in self.books.movements:
            name = row.note if row.kind == "transfer" else row.reference
            if row.kind in ("adjust", "receive", "transfer"):
                found[name].append(row)
        for entry in self.asked:
            if entry.operation.kind in ("adjust", "transfer", "import"):
                units = sorted((row.product_id, row.warehouse, row.on_hand_delta) for row in found[entry.operation.key])
                expected = sorted(_expected_units(entry))
                if entry.operation.kind == "import":  # which names products by SKU
                    units, expected = sorted(unit[1:] for unit in units), sorted(unit[1:] for unit in expected)
                if units != expected:
                    self._find(f"{_name(entry)} should have moved {expected} and moved {units}")

    def references(self) -> None:
        """Nothing is in the ledger that nobody asked for."""
        known = {row.number for row in self.books.orders.values()} | {entry.operation.key for entry in self.asked}
        for row in self.books.movements:
            name = row.note if row.kind == "transfer" else row.reference  # a transfer's reference is made by the shop
            is_first = row.seq == 1 and row.note == "initial stock"
            if name not in known and not is_first:
                self._find(f"A movement of product {row.product_id} is for {name!r}, which nobody asked for: {row}")

    def units(self) -> None:
        """What is on hand is what there was, and what came, less what went, by the clients' own journals."""
        expected = Counter(self.initial)
        for entry in self._done("adjust"):
            expected[entry.done["product_id"]] += entry.done["on_hand_delta"]
        for kind, sign in (("fulfill", -1), ("return", 1)):
            for products in self._moved(kind).values():
                for product_id, units in products.items():
                    expected[product_id] += sign * units
        imported = Counter[int]()
        for row in self.books.movements:  # held against the journals by `staff_operations`
            if row.reference in self._imports:
                imported[row.product_id] += row.on_hand_delta
        for product_id, on_hand in self.books.on_hand.items():
            if on_hand != expected[product_id] + imported[product_id]:
                told = expected[product_id] + imported[product_id]
                self._find(f"Product {product_id}: {on_hand} on hand, where the journals make it {told}")

    def never_oversold(self) -> None:
        """At no moment more was promised than there was: not even when it was put right later."""
        for row in self.books.movements:
            if row.on_hand < row.reserved + row.committed + row.unavailable:
                self._find(f"Product {row.product_id} in {row.warehouse} was oversold: {row}")

    def refusals(self) -> None:
        """Nobody was told "sold out" of what was there, at any moment between question and answer."""
        for entry in self.asked:
            first = next(iter(entry.answers), None)
            if first is None or b'"insufficient_stock"' not in first.body:
                continue
            for shortage in json.loads(first.body)["shortages"]:
                told, asked = shortage["available"], shortage["requested"]
                least = min(self._available(shortage["product_id"], entry.sent - UNSEEN_SECONDS, first.got), default=0)
                if told >= asked or told < least:
                    what = (
                        f"product {shortage['product_id']}: {asked} asked, {told} said to be there, never below {least}"
                    )
                    self._find(f"{_name(entry)} was refused {what}")

    def real_time(self) -> None:
        """What was answered before something else was asked comes before it in the ledger of a row."""
        spans = self._spans
        for rows in self._rows.values():
            earliest_answer, whose = float("inf"), ""
            for row in reversed(rows):
                span = spans.get((row.kind, row.note or row.reference)) or spans.get((row.kind, row.reference))
                if span is None:
                    continue
                sent, got = span
                if earliest_answer < sent:
                    what = f"{row.kind} {row.reference or row.note} comes before {whose}"
                    self._find(f"Product {row.product_id} in {row.warehouse}: {what}, which was answered before")
                if got < earliest_answer:
                    earliest_answer, whose = got, f"{row.kind} {row.reference or row.note}"

    def recovery(self) -> None:
        """After each fault somebody's write succeeds within half a minute."""
        successes = sorted(entry.answers[0].got for entry in self.asked if entry.is_done)
        for fault in self.faults:
            following = bisect_left(successes, fault.ended)
            waited = successes[following] - fault.ended if following < len(successes) else None
            if waited is not None and waited > RECOVERY_SECONDS:
                self._find(f"After {fault.kind} nothing was done for {waited:.0f} s")

    def logs(self) -> None:
        """No deadlock, and nothing that a constraint had to stop: our own guards come first."""
        for log in [self.site.cluster.data / "server.log", *self.site.folder.glob("*.log")]:
            text = log.read_text(errors="replace")
            for sign in ("deadlock detected", " violates "):
                if sign in text:
                    self._find(f"{log.name} has {text.count(sign)} times: {sign}")

    def verify_stock(self) -> None:
        """`manage.py verify_stock` finds nothing, on the connections that the servers have."""
        for line in self.site.broken_books():
            self._find(f"verify_stock: {line}")

    # --- Helpers -----------------------------------------------------------------------------------------------------

    def _find(self, sentence: str) -> None:
        self.findings.append(sentence)

    def _done(self, kind: str) -> Iterator["Done"]:
        for entry in self.asked:
            if entry.operation.kind == kind and entry.is_done:
                yield Done(entry, json.loads(entry.answers[0].body))

    def _moved(self, kind: str) -> dict[str, Counter[int]]:
        moved: dict[str, Counter[int]] = defaultdict(Counter)
        for entry in self._done(kind):
            moved[entry.done["id"]].update(_summed(entry.entry.operation.body["items"]))
        return moved

    @cached_property
    def _imports(self) -> set[str]:
        return {entry.operation.key for entry in self.asked if entry.operation.kind == "import"}

    @cached_property
    def _rows(self) -> dict[tuple[int, str], list[Any]]:
        rows: dict[tuple[int, str], list[Any]] = defaultdict(list)
        for row in self.books.movements:
            rows[row.product_id, row.warehouse].append(row)
        return rows

    @cached_property
    def _history(self) -> dict[int, tuple[list[float], list[int]]]:
        """Of each product the moments of its movements, and what was available from each on."""
        by_product: dict[int, list[Any]] = defaultdict(list)
        for row in self.books.movements:
            by_product[row.product_id].append(row)
        found = {}
        for product_id, rows in by_product.items():
            free: dict[str, int] = {}
            moments, available = [], []
            for row in sorted(rows, key=lambda row: row.at):
                free[row.warehouse] = max(0, row.on_hand - row.unavailable - row.reserved - row.committed)
                moments.append(row.at)
                available.append(sum(free.values()))
            found[product_id] = (moments, available)
        return found

    def _available(self, product_id: int, begin: float, end: float) -> list[int]:
        moments, available = self._history[product_id]
        return available[max(0, bisect_right(moments, begin) - 1) : bisect_right(moments, end)]

    @cached_property
    def _spans(self) -> dict[tuple[str, str], tuple[float, float]]:
        """Of what the ledger names, by kind and reference or note: from when to when it was asked and answered."""
        spans: dict[tuple[str, str], tuple[float, float]] = {}
        numbers = {order_id: row.number for order_id, row in self.books.orders.items()}
        for kind, movement in (("checkout", "reserve"), ("confirm", "commit"), ("cancel", "release")):
            for entry in self._done(kind):
                spans[movement, numbers.get(entry.done["id"], "")] = _span(entry.entry)
        # An order that was confirmed after its hold had expired was reserved twice; which a movement is of is not told.
        for row in self.books.movements:
            if row.kind == "expire":
                spans.pop(("reserve", row.reference), None)
        for entry in self.asked:
            if entry.operation.kind in ("adjust", "import", "transfer", "return") and entry.is_done:
                for movement in ("adjust", "receive", "transfer", "return"):
                    spans[movement, entry.operation.key] = _span(entry)
        return spans


@dataclass(frozen=True)
class Done:
    """An operation that was acknowledged, and the answer."""

    entry: Entry
    done: dict[str, Any]


def _account(who: str) -> dict[str, str]:
    return STAFF if who.startswith("staff") else {"email": f"{who}@example.com", "password": "nine lives of a cat"}


def _name(entry: Entry) -> str:
    return f"{entry.operation.kind} {entry.operation.key}"


def _told(attempt: Attempt) -> str:
    return f"{attempt.status} {attempt.body[:200].decode(errors='replace')}"


def _span(entry: Entry) -> tuple[float, float]:
    return entry.sent, entry.answers[0].got


def _summed(items: Sequence[dict[str, int]]) -> dict[int, int]:
    units: Counter[int] = Counter()
    for item in items:
        units[item["product_id"]] += item["quantity"]
    return dict(units)


def _expected_units(entry: Entry) -> list[tuple[int, str, int]]:
    """Return product, warehouse and units of what an operation of the staff has moved; nothing where it was refused."""
    if not entry.is_done:
        return []
    done, body = json.loads(entry.answers[0].body), entry.operation.body
    if entry.operation.kind == "adjust":
        return [(done["product_id"], done["warehouse"], done["on_hand_delta"])]
    if entry.operation.kind == "transfer":
        return [
            (item["product_id"], warehouse, sign * item["quantity"])
            for item in body["items"]
            for warehouse, sign in ((body["from_warehouse"], -1), (body["to_warehouse"], 1))
        ]
    rows = [line.split(",") for line in body.splitlines()[1:]]
    return [(0, warehouse, int(quantity)) for _, warehouse, quantity, _ in rows]
