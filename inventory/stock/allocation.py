"""Which warehouse serves which units of a demand."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from inventory.stock.levels import StockRow
from inventory.stock.sql import Line
from shop.toolkit.refusals import Refusal


@dataclass(frozen=True)
class Demand:
    """A request for units of one product, at least 1."""

    product_id: int
    quantity: int


@dataclass(frozen=True)
class Shortage:
    """A product with fewer units available than requested."""

    product_id: int
    requested: int
    available: int


class InsufficientStock(Refusal):
    """Fewer units are available than requested. `shortages` has one entry for every product that is short."""

    def __init__(self, shortages: Sequence[Shortage], said: str = "") -> None:
        self.shortages = list(shortages)
        super().__init__(said or "There is not enough stock. Ask for fewer units.")


@dataclass(frozen=True)
class Plan:
    """The lines that would serve a demand, and the shortages. A product that is short has no lines."""

    lines: list[Line]
    shortages: list[Shortage]


def summed(demand: Iterable[Demand]) -> dict[int, int]:
    """Return units by product. Lines of one product count together: splitting a demand must not get more units."""
    total: dict[int, int] = {}
    for line in demand:
        total[line.product_id] = total.get(line.product_id, 0) + line.quantity
    return total


def allocate(demand: Mapping[int, int], rows: Sequence[StockRow]) -> Plan:
    """Plan `demand` (units by product) over `rows`: few warehouses first, then by priority.

    Repeatedly takes the warehouse that can serve the most remaining lines whole; priority breaks ties. One warehouse
    that can serve everything is therefore taken alone. A line that no warehouse can serve whole is split by priority.
    The same input always gives the same plan, in key order.
    """
    by_product: dict[int, list[StockRow]] = {}
    for row in sorted(rows, key=lambda row: (row.priority, row.warehouse_id)):
        by_product.setdefault(row.product_id, []).append(row)
    shortages = _shortages(demand, by_product)
    short = {shortage.product_id for shortage in shortages}
    remaining = {product_id: quantity for product_id, quantity in demand.items() if product_id not in short}
    lines = _take_whole(remaining, by_product)
    lines += [line for product_id, quantity in remaining.items() for line in _split(quantity, by_product[product_id])]
    return Plan(sorted(lines), shortages)


def _shortages(demand: Mapping[int, int], by_product: Mapping[int, list[StockRow]]) -> list[Shortage]:
    available = {
        product_id: sum(row.available_to_promise for row in by_product.get(product_id, ())) for product_id in demand
    }
    return [
        Shortage(product_id, wanted, available[product_id])
        for product_id, wanted in sorted(demand.items())
        if available[product_id] < wanted
    ]


def _take_whole(remaining: dict[int, int], by_product: Mapping[int, list[StockRow]]) -> list[Line]:
    """Remove from `remaining` each line that one warehouse can serve whole; return these lines."""
    servable: dict[tuple[int, int], set[int]] = {}
    for product_id, quantity in remaining.items():
        for row in by_product[product_id]:
            if row.available_to_promise >= quantity:
                servable.setdefault((row.priority, row.warehouse_id), set()).add(product_id)
    lines: list[Line] = []
    while servable:
        place = min(servable, key=lambda place: (-len(servable[place]), place))
        served = servable.pop(place)
        lines += [Line(product_id, place[1], remaining.pop(product_id)) for product_id in served]
        servable = {other: left for other, products in servable.items() if (left := products - served)}
    return lines


def _split(quantity: int, rows: Iterable[StockRow]) -> list[Line]:
    """Take `quantity` from the rows of one product, in their order. Together they have enough."""
    lines: list[Line] = []
    for row in rows:
        taken = min(quantity, row.available_to_promise)
        if taken:
            lines.append(Line(row.product_id, row.warehouse_id, taken))
            quantity -= taken
    return lines
