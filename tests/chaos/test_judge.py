"""Each check of the judge finds what it is for, and nothing in a case that is sound."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest

from tests.chaos.journal import Attempt, Entry, Operation
from tests.chaos.judge import Books, Judge
from tests.chaos.nemesis import Fault

ORDER, NUMBER = "01a2-id", "261122-AAAAA"
EXPIRES = "1970-01-01T00:01:00+00:00"  # second 60 of a run that begins with the epoch


@dataclass
class Case:
    """What a judge is given: here a shop with one order, and everything that staff do once."""

    entries: dict[str, Entry]
    books: Books
    initial: dict[int, int]
    faults: list[Fault]
    ended: float = 100
    backorders: dict[tuple[int, str], int] = field(default_factory=dict)

    def findings(self) -> list[str]:
        skus = {"SKU-1": 1}
        entries = list(self.entries.values())
        judge = Judge(entries, self.books, self.initial, skus, self.faults, self.ended, self.backorders)
        return judge.run(lambda text: None)

    def movement(self, kind: str) -> Any:
        return next(row for row in self.books.movements if row.kind == kind)


def entry(key: str, kind: str, path: str, body: Any, *, at: float, status: int = 201, said: Any = None) -> Entry:
    operation = Operation(key, kind, "POST", f"/api/v1{path}", body, "buyer-0")
    return Entry(operation, [Attempt(sent=at, got=at + 0.5, status=status, body=json.dumps(said).encode())])


def movement(kind: str, seq: int, at: float, *, name: str, delta: int = 0, after: tuple[int, int, int], **more: Any):
    on_hand, reserved, committed = after
    row = {
        "product_id": 1, "warehouse": "MAIN", "seq": seq, "kind": kind, "reference": name, "note": "",
        "on_hand_delta": delta, "unavailable_delta": 0, "on_hand": on_hand, "reserved": reserved,
        "committed": committed, "unavailable": 0, "at": at,
    }  # fmt: skip
    return SimpleNamespace(**{**row, **more})


@pytest.fixture
def case() -> Case:
    order = {"id": ORDER, "number": NUMBER, "user_id": 7, "total": "9.90", "expires_at": EXPIRES}
    order["items"] = items = [{"product_id": 1, "quantity": 1}]
    taken = {"from_warehouse": "MAIN", "to_warehouse": "EAST", "items": [{"product_id": 1, "quantity": 2}], "note": "t"}
    entries = [
        entry("checkout", "checkout", "/orders", {"items": items}, at=1, said=order),
        entry("confirm", "confirm", f"/orders/{ORDER}/confirm", {}, at=2, status=200, said=order),
        entry("fulfill", "fulfill", f"/orders/{ORDER}/fulfill", {"items": items}, at=3, status=200, said=order),
        entry(
            "set", "adjust", "/inventory/items/1/adjustments",
            {"mode": "set", "warehouse": "MAIN", "quantity": 12, "expected_on_hand": 9}, at=4, said={},
        ),
        entry("t", "transfer", "/inventory/transfers", taken, at=5, said={}),
        entry("i", "import", "/inventory/imports", "sku,warehouse,quantity,reference\nSKU-1,MAIN,4,i", at=6, said={}),
        entry(
            "short", "checkout", "/orders", {"items": [{"product_id": 1, "quantity": 99}]}, at=7, status=409,
            said={"code": "insufficient_stock", "shortages": [{"product_id": 1, "requested": 99, "available": 16}]},
        ),
    ]  # fmt: skip
    movements = [
        movement("receive", 1, 0, name="", delta=10, after=(10, 0, 0), note="initial stock"),
        movement("reserve", 2, 1.2, name=NUMBER, after=(10, 1, 0)),
        movement("commit", 3, 2.2, name=NUMBER, after=(10, 0, 1)),
        movement("ship", 4, 3.2, name=NUMBER, delta=-1, after=(9, 0, 0)),
        movement("adjust", 5, 4.2, name="set", delta=3, after=(12, 0, 0)),
        movement("transfer", 6, 5.2, name="uuid", delta=-2, after=(10, 0, 0), note="t"),
        movement("transfer", 1, 5.2, name="uuid", delta=2, after=(2, 0, 0), note="t", warehouse="EAST"),
        movement("adjust", 7, 6.2, name="i", delta=4, after=(14, 0, 0)),
    ]
    row = SimpleNamespace(id=ORDER, number=NUMBER, user_id=7, status="fulfilled", total=9.90)
    line = SimpleNamespace(quantity=1, fulfilled=1, returned=0, cancelled=0)
    events = {ORDER: Counter(placed=1, confirmed=1, fulfilled=1)}
    books = Books({ORDER: row}, {ORDER: {1: line}}, events, movements, {1: 16})
    return Case({made.operation.key: made for made in entries}, books, {1: 10}, [])


def test_nothing_is_found_in_a_sound_case(case):
    assert case.findings() == []


def _another_answer(case: Case) -> None:
    case.entries["confirm"].attempts.append(Attempt(sent=9, got=10, status=200, body=b'"other"'))


def _refused_and_done(case: Case) -> None:
    case.entries["checkout"].attempts.insert(0, Attempt(sent=0.5, got=0.9, status=409, body=b"{}"))


def _internal_error(case: Case) -> None:
    case.entries["checkout"].attempts.append(Attempt(sent=0.5, got=0.9, status=500))


def _unheard_of_refusal(case: Case) -> None:
    case.entries["short"].attempts[0].status = 403


def _reused_key_is_taken(case: Case) -> None:
    case.entries["reuse"] = entry("checkout/reused", "reuse", "/orders", {"items": []}, at=8, said={})


def _done_twice(case: Case) -> None:
    first = case.entries["set"]
    again = replace(first.operation, key="again", wish="set")
    case.entries["again"] = Entry(again, first.attempts)


def _order_lost(case: Case) -> None:
    case.books.orders.clear()


def _order_unasked(case: Case) -> None:
    del case.entries["checkout"]


def _another_quantity(case: Case) -> None:
    case.books.lines[ORDER][1].quantity = 2


def _step_twice(case: Case) -> None:
    case.books.events[ORDER]["confirmed"] = 2


def _paid_and_expired(case: Case) -> None:
    case.books.orders[ORDER].status = "expired"


def _expired_early(case: Case) -> None:
    case.movement("commit").kind = "expire"


def _expired_after_all(case: Case) -> None:
    case.movement("ship").kind = "expire"
    case.movement("expire").at = 61


def _shipped_more(case: Case) -> None:
    case.books.lines[ORDER][1].fulfilled = 2


def _expectation_ignored(case: Case) -> None:
    case.movement("adjust").on_hand_delta = 2


def _one_leg(case: Case) -> None:
    del case.books.movements[6]


def _wrong_product(case: Case) -> None:
    case.books.movements[7].product_id = 2


def _unasked_movement(case: Case) -> None:
    case.movement("ship").reference = "nobody"


def _units_vanish(case: Case) -> None:
    case.books.on_hand[1] = 15


def _oversold(case: Case) -> None:
    case.movement("reserve").reserved = 11


def _false_sold_out(case: Case) -> None:
    case.entries["short"].attempts[
        0
    ].body = b'{"code":"insufficient_stock","shortages":[{"product_id":1,"requested":99,"available":0}]}'


def _against_time(case: Case) -> None:
    case.entries["t"].attempts[0] = replace(case.entries["t"].attempts[0], sent=8, got=9)


def _damaged_are_shipped(case: Case) -> None:
    case.backorders[1, "MAIN"] = 20  # which makes none of it right
    case.movement("ship").unavailable = 10


def _promised_are_moved(case: Case) -> None:
    case.backorders[1, "MAIN"] = 20
    case.movement("transfer").reserved = 11


def _no_recovery(case: Case) -> None:
    case.faults.append(Fault("cut", 8, 9, "1 connection"))


def _deadlock(case: Case) -> None:
    case.books = replace(case.books, log="ERROR:  deadlock detected")


@pytest.mark.parametrize(
    ("breaks", "finding"),
    [
        (_another_answer, "has different answers"),
        (_refused_and_done, "checkout checkout has different answers"),
        (_internal_error, "was answered 500"),
        (_unheard_of_refusal, "was answered 403"),
        (_reused_key_is_taken, "was answered 201"),
        (_done_twice, "done 2 times"),
        (_order_lost, "is not there"),
        (_order_unasked, "acknowledged to nobody"),
        (_another_quantity, "The lines of order"),
        (_step_twice, "confirm acknowledged 1 times, happened 2"),
        (_paid_and_expired, "is expired, where its steps make it fulfilled"),
        (_expired_early, "was expired, and was not due"),
        (_expired_after_all, "was expired, and was not due"),
        (_shipped_more, "1 acknowledged as fulfilled, 2 there"),
        (_expectation_ignored, "adjust set should have moved [(1, 'MAIN', 3)]"),
        (_one_leg, "transfer t should have moved"),
        (_wrong_product, "import i should have moved [(1, 'MAIN', 4)] and moved [(2, 'MAIN', 4)]"),
        (_unasked_movement, "is for 'nobody', which nobody asked for"),
        (_units_vanish, "15 on hand, the journals make it 16"),
        (_oversold, "was oversold"),
        (_damaged_are_shipped, "More was unavailable than on hand"),
        (_promised_are_moved, "Units that are promised were taken"),
        (_false_sold_out, "99 asked, 0 said to be there"),
        (_against_time, "which was answered before"),
        (_no_recovery, "did nothing for 91 s"),
        (_deadlock, "deadlock detected"),
    ],
)
def test_each_broken_promise_is_found(case: Case, breaks: Callable[[Case], None], finding: str):
    breaks(case)

    assert any(finding in found for found in case.findings()), case.findings()
