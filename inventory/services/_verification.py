from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.apps import apps

from inventory.sql import _verification as sql

LISTED_ROWS = 100
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
    constraints = [
        constraint.name
        for model in apps.get_app_config("inventory").get_models()
        for constraint in model._meta.constraints
    ]
    for name, (sentence, _) in sql.CHECKS.items():
        rows = sql.broken(name, constraints=[*constraints, *RAW_CONSTRAINTS], limit=LISTED_ROWS)
        yield name, Finding(name, sentence, rows) if rows else None
