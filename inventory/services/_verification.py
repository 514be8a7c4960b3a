from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.apps import apps

from inventory.sql import _verification as sql

LISTED_ROWS = 100
# The apps whose tables are the books.
BOOKS = ("inventory", "orders", "products")
TRIGGERS = (
    "inventory_movement_append_only",
    "inventory_movement_not_ahead",
    "inventory_reservation_one_way",
    "inventory_line_one_way",
    "inventory_count_one_way",
    "inventory_count_closes_whole",
    "orders_order_one_way",
)
# Written as SQL in the migrations, where Django has no words for them.
RAW_CONSTRAINTS = ("inventory_movement_chain", "inventory_movement_of_stock", "inventory_stock_is_head")


@dataclass(frozen=True)
class Finding:
    """One invariant that does not hold: its name, what is wrong, and up to 100 of the rows that break it."""

    check: str
    sentence: str
    rows: list[dict[str, Any]]


def verify() -> Iterator[tuple[str, Finding | None]]:
    """Check every invariant of stock, guards included; yield each check's name and its finding, None when it holds.

    Reads everything and repairs nothing. Run it in one REPEATABLE READ transaction, so that all checks see the same
    moment. The invariants are those of docs/stock.md.
    """
    guards = {"guard_constraints": [*_constraints(), *RAW_CONSTRAINTS], "guard_triggers": list(TRIGGERS)}
    for name, (sentence, _) in sql.CHECKS.items():
        rows = sql.broken(name, guards=guards, limit=LISTED_ROWS)
        yield name, Finding(name, sentence, rows) if rows else None


def _constraints() -> Iterator[str]:
    for label in BOOKS:
        for model in apps.get_app_config(label).get_models():
            yield f"{model._meta.db_table}_pkey"
            yield from (constraint.name for constraint in model._meta.constraints)
