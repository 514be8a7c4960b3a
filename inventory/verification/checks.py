"""Checks of the invariants of stock, and of the constraints and triggers that guard them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.apps import apps

from inventory.verification import sql

LISTED_ROWS = 100
APP = "inventory"
TRIGGERS = (
    "inventory_movement_append_only",
    "inventory_movement_not_ahead",
    "inventory_reservation_one_way",
    "inventory_line_one_way",
    "inventory_count_one_way",
    "inventory_count_closes_whole",
)
# Created by SQL in migrations, since Django cannot express them.
RAW_CONSTRAINTS = ("inventory_movement_chain", "inventory_movement_of_stock", "inventory_stock_is_head")


@dataclass(frozen=True)
class Finding:
    """A violated invariant: its name, what is wrong, and up to 100 of the rows that violate it."""

    check: str
    sentence: str
    rows: list[dict[str, Any]]


@dataclass(frozen=True)
class Guarded:
    """Further tables to check for guards: the labels of other apps, and the names of their triggers."""

    apps: tuple[str, ...]
    triggers: tuple[str, ...]


def verify(beside: Guarded) -> Iterator[tuple[str, Finding | None]]:
    """Check every invariant of stock (docs/stock.md); yield each check's name and its finding, None if it holds.

    The constraints and triggers in the database are checked for the tables of stock and for those in `beside`. Reads
    everything and repairs nothing. Run it in one REPEATABLE READ transaction, so that all checks see the same moment.
    """
    labels = (APP, *beside.apps)
    tables = f"^({'|'.join(labels)})_"
    guards: dict[str, list[Any]] = {
        "guard_constraints": [[*_constraints(labels), *RAW_CONSTRAINTS]],
        "guard_triggers": [[*TRIGGERS, *beside.triggers], tables],
        "guard_indexes": [tables],
    }
    for name, (sentence, _) in sql.CHECKS.items():
        rows = sql.broken(name, guards=guards, limit=LISTED_ROWS)
        yield name, Finding(name, sentence, rows) if rows else None


def _constraints(labels: Sequence[str]) -> Iterator[str]:
    for label in labels:
        for model in apps.get_app_config(label).get_models():
            yield f"{model._meta.db_table}_pkey"
            yield from (constraint.name for constraint in model._meta.constraints)
