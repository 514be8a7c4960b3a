from collections.abc import Sequence

from inventory import sql
from inventory.services._allocation import summed
from inventory.services._facts import Availability, Demand, ItemNotFound


def check(demand: Sequence[Demand]) -> list[Availability]:
    """Tell for each line whether a reserve of all of them together would find its product, in one statement.

    For display: only `reserve` decides, from locked rows. Lines of one product are judged by their sum. Raises
    ItemNotFound naming every product without an inventory item.
    """
    wanted = summed(demand)
    rows = sql.read_stock(wanted)
    if missing := set(wanted) - set(rows):
        raise ItemNotFound(missing)
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
