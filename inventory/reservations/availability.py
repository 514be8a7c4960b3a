"""Whether units can be reserved, and where they would come from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.db import transaction

from inventory.reservations import sql
from inventory.stock import sql as stock_sql
from inventory.stock.allocation import Demand, Plan, Shortage, allocate, summed
from inventory.stock.items import ItemNotFound
from inventory.stock.levels import StockRow
from inventory.stock.scopes import in_scope, scope_of
from shop.toolkit.callers import Caller
from shop.toolkit.db import replicas


@dataclass(frozen=True)
class Availability:
    """Whether `quantity` units of a product can be reserved, out of `available_quantity`.

    An archived or unknown product has no available units.
    """

    product_id: int
    quantity: int
    available: bool
    available_quantity: int
    is_on_sale: bool


@dataclass(frozen=True)
class Allocation:
    """Units of one product that come from one warehouse."""

    product_id: int
    warehouse: str
    quantity: int


@dataclass(frozen=True)
class Preview:
    """What a reserve would do now: where the units would come from, and every shortage."""

    allocations: list[Allocation]
    shortages: list[Shortage]


def check(demand: Sequence[Demand]) -> list[Availability]:
    """Tell for each line whether a reserve of all lines together would find enough units, in one statement.

    For display only, read from a replica if there is one: only `reserve` decides, on locked rows. Lines of one product
    are judged by their sum.
    """
    wanted = summed(demand)
    rows = replicas.read(lambda using: stock_sql.read_sellable(wanted, using=using))
    free = {product_id: sum(row.available_to_promise for row in found) for product_id, found in rows.items()}
    return [
        Availability(
            product_id=line.product_id,
            quantity=line.quantity,
            available=wanted[line.product_id] <= free.get(line.product_id, 0),
            available_quantity=free.get(line.product_id, 0),
            is_on_sale=line.product_id in free,
        )
        for line in demand
    ]


def check_one(demand: Demand) -> Availability:
    """Tell the same for one product. Raises ItemNotFound when it has no inventory item or is not on sale."""
    (availability,) = check([demand])
    if not availability.is_on_sale:
        raise ItemNotFound([demand.product_id])
    return availability


def preview(demand: Sequence[Demand], *, caller: Caller) -> Preview:
    """Return what a reserve would do now, by the same plan, without writing anything.

    Products that are not short are allocated as if the short ones were not requested. Only the caller's warehouses
    count. Raises ItemNotFound.
    """
    wanted = summed(demand)
    by_product = stock_sql.read_stock(wanted)
    if missing := set(wanted) - set(by_product):
        raise ItemNotFound(missing)
    rows = in_scope([row for found in by_product.values() for row in found], scope_of(caller))
    plan = _plan_as_reserve_does(wanted, rows)
    codes = {row.warehouse_id: row.warehouse for row in rows}
    return Preview(
        allocations=[Allocation(line.product_id, codes[line.warehouse_id], line.quantity) for line in plan.lines],
        shortages=plan.shortages,
    )


@transaction.atomic(savepoint=False)
def shortages(demand: Sequence[Demand]) -> list[Shortage]:
    """Return what a reserve would be short of, decided on locked rows as a reserve does. Reserves nothing."""
    wanted = summed(demand)
    return _plan_as_reserve_does(wanted, stock_sql.lock_stock(wanted)).shortages


def _plan_as_reserve_does(wanted: Mapping[int, int], rows: Sequence[StockRow]) -> Plan:
    """Plan; if units are short, plan again as if the overdue holds on the short products were expired."""
    plan = allocate(wanted, rows)
    if not plan.shortages:
        return plan
    overdue = sql.overdue_units([shortage.product_id for shortage in plan.shortages])
    reclaimed = [
        row._replace(reserved=row.reserved - overdue.get((row.product_id, row.warehouse_id), 0)) for row in rows
    ]
    return allocate(wanted, reclaimed)
