from collections.abc import Mapping, Sequence

from inventory import sql
from inventory.services._allocation import allocate, summed
from inventory.services._facts import Allocation, Availability, Demand, ItemNotFound, Preview
from inventory.sql import StockRow


def check(demand: Sequence[Demand]) -> list[Availability]:
    """Tell for each line whether a reserve of all of them together would find its product.

    For display: only `reserve` decides, from locked rows. Lines of one product are judged by their sum. One statement,
    and one more when something is short. Raises ItemNotFound naming every product off sale or without an item.
    """
    wanted = summed(demand)
    rows = _sellable(wanted)
    free = {product_id: sum(row.available_to_promise for row in rows[product_id]) for product_id in wanted}
    return [
        Availability(
            product_id=line.product_id,
            quantity=line.quantity,
            available=wanted[line.product_id] <= free[line.product_id],
            available_quantity=free[line.product_id],
        )
        for line in demand
    ]


def preview(demand: Sequence[Demand]) -> Preview:
    """Tell what a reserve would do just now, by the same plan, and write nothing.

    The products that are not short are allocated as they would be without the short ones. Raises ItemNotFound.
    """
    wanted = summed(demand)
    rows = [row for found in _sellable(wanted).values() for row in found]
    plan = allocate(wanted, rows)
    codes = {row.warehouse_id: row.warehouse for row in rows}
    return Preview(
        allocations=[Allocation(line.product_id, codes[line.warehouse_id], line.quantity) for line in plan.lines],
        shortages=plan.shortages,
    )


def _sellable(wanted: Mapping[int, int]) -> dict[int, list[StockRow]]:
    """Return the rows of each product, where some would be short without the units of holds past their deadline."""
    rows = sql.read_stock(wanted)
    if missing := set(wanted) - set(rows):
        raise ItemNotFound(missing)
    short = [
        product_id
        for product_id, quantity in wanted.items()
        if sum(row.available_to_promise for row in rows[product_id]) < quantity
    ]
    if not short:
        return rows
    # A reserve would expire these holds before it said no, so they are no reason to say no here.
    overdue = sql.overdue_units(short)
    for product_id in short:
        rows[product_id] = [
            row._replace(reserved=row.reserved - overdue.get((product_id, row.warehouse_id), 0))
            for row in rows[product_id]
        ]
    return rows
