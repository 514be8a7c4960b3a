"""Bugs planted on purpose, one at a time: a kill test that does not find them proves nothing. `make mutants`

Each is a bug that shops have shipped or a tempting "optimization". They exist here alone: CHAOS_MUTANT names the one
that the processes of a test plant in themselves.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from django.db import Error, connection, transaction

from inventory.reservations import sql as reservations_sql
from inventory.stock import sql as stock_sql
from inventory.stock import sql_claims
from inventory.stock.levels import Levels
from orders import sql as orders
from shop.toolkit.db import transactions
from shop.toolkit.http import idempotency
from shop.toolkit.refusals import Refusal


@dataclass(frozen=True)
class Mutant:
    """A bug: in the code (`plant`), in the database (`statements`), or in the client."""

    what: str
    plant: Callable[[], None] = lambda: None
    statements: tuple[str, ...] = ()
    in_client: bool = False


def plant() -> None:
    """Put the bug that CHAOS_MUTANT names into this process."""
    if name := os.environ.get("CHAOS_MUTANT"):
        MUTANTS[name].plant()


def _changed(text: str, old: str, new: str) -> str:
    assert old in text, f"the bug has nothing to change: {old}"
    return text.replace(old, new)


def _lock_stock(old: str, new: str) -> Callable[[], None]:
    def plant() -> None:
        stock_sql.LOCK_STOCK = _changed(stock_sql.LOCK_STOCK, old, new)

    return plant


def _answer_before_commit() -> None:
    def run_once(work: Callable[[], Any]) -> Any:
        done: list[Any] = []
        try:
            with transaction.atomic(durable=True):
                done.append(work())
        except Error:
            if not done:
                raise
        return done[0]

    transactions._run_once = run_once


def _refusal_commits() -> None:
    def run_once(work: Callable[[], Any]) -> Any:
        refused: list[Refusal] = []
        with transaction.atomic(durable=True):
            try:
                return work()
            except Refusal as refusal:
                refused.append(refusal)
                transaction.set_rollback(False)
        raise refused[0]

    transactions._run_once = run_once


def _answers_not_kept() -> None:
    idempotency.keep = lambda scope, answer: None


def _forgetful_keys() -> None:
    idempotency.claim = lambda scope, answer=None: None


def _commit_in_between() -> None:
    insert_order = orders.insert_order

    def insert_and_commit(*args: Any, **kwargs: Any) -> None:
        insert_order(*args, **kwargs)
        connection.connection.commit()

    orders.insert_order = insert_and_commit


def _sweep_whatever_is_overdue() -> None:
    reservations_sql.LOCK_DUE = _changed(reservations_sql.LOCK_DUE, "state = 'held'", "state IN ('held', 'confirmed')")
    sql_claims.END_RESERVATIONS = _changed(sql_claims.END_RESERVATIONS, "AND state IN ('held', 'confirmed')", "")


def _decide_before_the_lock() -> None:
    lock_stock = stock_sql.lock_stock

    def read_then_lock(product_ids: Any) -> Any:
        rows = [row for rows in stock_sql.read_stock(product_ids).values() for row in rows]
        lock_stock(product_ids)
        return rows

    stock_sql.lock_stock = read_then_lock


def _expectation_ignored() -> None:
    ledger = import_module("inventory.stock.ledger")  # its models need Django, which is up by now
    set_on_hand = ledger.set_on_hand
    ledger.set_on_hand = lambda **given: set_on_hand(**{**given, "expected_on_hand": None})


def _promises_may_leave() -> None:
    def free(levels: Levels) -> int:
        return levels.on_hand + levels.backorder_limit - levels.promised - levels.unavailable

    Levels.free = property(free)


def _transfer_of_one_leg() -> None:
    post_movements = stock_sql.post_movements

    def post(changes: Any, *, kind: str, **given: Any) -> Any:
        return post_movements(changes[:1] if kind == "transfer" else changes, kind=kind, **given)

    stock_sql.post_movements = post


MUTANTS = {
    "asynchronous_commit": Mutant(
        "an order is acknowledged before it is on disk",
        statements=("ALTER DATABASE shop SET synchronous_commit = off",),
    ),
    "keys_not_logged": Mutant(
        "the table of idempotency keys is unlogged, since it is only a cache, is it not",
        statements=("ALTER TABLE toolkit_idempotencykey SET UNLOGGED",),
    ),
    "retry_with_a_new_key": Mutant("a client makes a new key for a retry", in_client=True),
    "no_lock_no_check": Mutant(
        "stock is read, judged and written, without a lock and without the CHECK",
        plant=_lock_stock("FOR NO KEY UPDATE OF s", ""),
        statements=("ALTER TABLE inventory_stock DROP CONSTRAINT inventory_never_oversold",),
    ),
    "decided_before_the_lock": Mutant("stock is judged before it is locked", plant=_decide_before_the_lock),
    "unsorted_lines": Mutant(
        "rows are locked in whatever order",
        plant=_lock_stock("ORDER BY s.product_id, s.warehouse_id", "ORDER BY random()"),
    ),
    "skip_locked": Mutant(
        "rows that somebody else is at are passed over",
        plant=_lock_stock("OF s", "OF s SKIP LOCKED"),
    ),
    "answer_before_commit": Mutant("an order is acknowledged whatever becomes of its commit", _answer_before_commit),
    "refusal_commits": Mutant("a refusal leaves what was written before it", _refusal_commits),
    "commit_in_between": Mutant("an order is committed before its stock is reserved", _commit_in_between),
    "answers_not_kept": Mutant("a key is claimed, and the answer is not kept", _answers_not_kept),
    "forgetful_keys": Mutant("keys are not looked at", _forgetful_keys),
    "expectation_ignored": Mutant("stock is set whatever was expected on hand", _expectation_ignored),
    "promises_may_leave": Mutant("what may be promised is taken for what is there", _promises_may_leave),
    "transfer_of_one_leg": Mutant("a transfer takes units, and brings none", _transfer_of_one_leg),
    "sweeper_without_guard": Mutant(
        "whatever is past its deadline is expired, paid or not",
        _sweep_whatever_is_overdue,
        statements=("DROP TRIGGER inventory_reservation_one_way ON inventory_reservation",),
    ),
}
