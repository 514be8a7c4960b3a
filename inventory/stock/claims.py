"""Claims on the units of stock rows, and the expiry of overdue holds."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from inventory.stock import metrics, models, sql, sql_claims
from inventory.stock.items import Item, get_item
from inventory.stock.scopes import scope_of
from inventory.stock.sql import Change, Line
from inventory.stock.vocabulary import Kind, State
from shop.toolkit.callers import SYSTEM, Caller
from shop.toolkit.refusals import Refusal
from shop.toolkit.telemetry.metrics import count_at_commit

LISTED_PROMISES = 1000


@dataclass(frozen=True)
class Promise:
    """Units of one product in one warehouse that a reservation claims: held until `expires_at`, or committed."""

    product_id: int
    warehouse: str
    quantity: int
    reservation_id: UUID
    reference: str
    state: str
    expires_at: datetime | None
    is_overdue: bool


@dataclass(frozen=True)
class Explanation:
    """What reduces `item.available`: the holds and the orders that claim units, at most 1,000 of each."""

    item: Item
    holds: list[Promise]
    orders: list[Promise]


class StockPromised(Refusal):
    """The change would take units that reservations claim; `promises` lists these claims."""

    def __init__(self, promises: Sequence[Promise], said: str = "") -> None:
        self.promises = list(promises)
        super().__init__(said or "These units are promised to reservations. Release those reservations first.")


def explain(product_id: int, *, caller: Caller) -> Explanation:
    """Return an item with the holds and the orders that claim its units, at most 1,000 of each.

    Only the caller's warehouses count. Raises ItemNotFound.
    """
    item = get_item(product_id, caller=caller)
    stocks = models.Stock.objects.filter(
        product_id=product_id, warehouse__code__in=[at.warehouse for at in item.stocks]
    )
    keys = list(stocks.values_list("product_id", "warehouse_id"))
    return Explanation(item=item, holds=_promises(keys, State.HELD), orders=_promises(keys, State.CONFIRMED))


def promises(keys: Collection[tuple[int, int]]) -> list[Promise]:
    """Return the claims on these (product, warehouse) rows: holds first, at most LISTED_PROMISES of each kind."""
    return _promises(keys, State.HELD) + _promises(keys, State.CONFIRMED)


def _promises(keys: Collection[tuple[int, int]], state: State) -> list[Promise]:
    return promises_of(sql_claims.consumers(keys, state=state, limit=LISTED_PROMISES))


def promises_of(rows: Iterable[sql_claims.Consumer]) -> list[Promise]:
    """Convert rows of the database to promises."""
    return [
        Promise(
            product_id=row.product_id,
            warehouse=row.warehouse,
            quantity=row.quantity,
            reservation_id=row.reservation_id,
            reference=row.reference,
            state=row.state,
            expires_at=row.expires_at if row.state == State.HELD else None,
            is_overdue=row.is_overdue,
        )
        for row in rows
    ]


def overdue_products(*, caller: Caller) -> list[int]:
    """Return the products with units under overdue holds. Only the caller's warehouses count."""
    scope = scope_of(caller)
    return sql_claims.overdue_products(everywhere=scope.everywhere, places=scope.places)


def expire_overdue(product_ids: Collection[int]) -> None:
    """Expire every overdue hold on these products, for a reserve that has fallen short."""
    expire(sql_claims.lock_overdue(product_ids), caller=SYSTEM)


def expire_overdue_before(product_ids: Collection[int]) -> None:
    """Expire every overdue hold on these products, before units are taken off their stock rows.

    If there are any, this locks the products' stock rows and all rows that the holds claim, together and in key order.
    The caller locks rows of these products next, and then holds them already, so the order of locks is kept.
    """
    overdue = sql_claims.lock_overdue(product_ids)
    if not overdue:
        return
    rows = models.Stock.objects.filter(product_id__in=product_ids).values_list("product_id", "warehouse_id")
    sql.lock_levels({*rows, *sql_claims.claimed_rows(overdue)})
    expire(overdue, caller=SYSTEM)


def expire(references: dict[UUID, str], *, note: str = "", caller: Caller) -> None:
    """Expire holds that the caller has locked. `references` has the reference of each hold by its id."""
    if not references:
        return
    parts = [
        (line.reservation_id, Line(line.product_id, line.warehouse_id, line.open))
        for line in sql_claims.lock_lines(references)
        if line.open
    ]
    sql_claims.add_to_lines(parts, column="released")
    sql_claims.end_reservations(references, state=State.EXPIRED)
    count_at_commit(metrics.EXPIRED, len(references))
    sql.post_movements(
        [release_change(part, State.HELD, references[reservation_id]) for reservation_id, part in parts],
        kind=Kind.EXPIRE,
        note=note,
        actor_id=caller.actor_id,
    )


def release_change(part: Line, state: str, reference: str) -> Change:
    """Return the change to a stock row when a reservation in `state` releases units of it."""
    if state == State.HELD:
        return Change(part.product_id, part.warehouse_id, reserved=-part.quantity, reference=reference)
    return Change(part.product_id, part.warehouse_id, committed=-part.quantity, reference=reference)
