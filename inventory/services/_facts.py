"""The nouns and refusals of inventory: what crosses its boundary."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from shop.toolkit.refusals import Refusal


@dataclass(frozen=True)
class Warehouse:
    """A place that holds stock; a lower `priority` is served from first."""

    id: int
    code: str
    name: str
    priority: int
    is_active: bool


@dataclass(frozen=True)
class Stock:
    """One item's units in one warehouse. `available` is 0 in an inactive warehouse: nothing is sold from there."""

    product_id: int
    warehouse: str
    on_hand: int
    reserved: int
    committed: int
    unavailable: int
    safety_stock: int
    available: int
    reorder_point: int
    backorder_limit: int
    low_stock: bool


@dataclass(frozen=True)
class Item:
    """One item with its totals over all warehouses; `low_stock` when any of them is low, or none holds it."""

    product_id: int
    sku: str
    name: str
    on_hand: int
    reserved: int
    committed: int
    unavailable: int
    safety_stock: int
    available: int
    low_stock: bool
    stocks: list[Stock]


@dataclass(frozen=True)
class Demand:
    """Units of one product that somebody asks for, at least 1."""

    product_id: int
    quantity: int


@dataclass(frozen=True)
class Level:
    """Units in one warehouse, by its code."""

    warehouse: str
    quantity: int


@dataclass(frozen=True)
class Availability:
    """Whether `quantity` units of a product can be reserved, out of `available_quantity`."""

    product_id: int
    quantity: int
    available: bool
    available_quantity: int


@dataclass(frozen=True)
class Shortage:
    """Of one product fewer units are available than were requested."""

    product_id: int
    requested: int
    available: int


@dataclass(frozen=True)
class Allocation:
    """Units of one product that come from one warehouse."""

    product_id: int
    warehouse: str
    quantity: int


@dataclass(frozen=True)
class Reservation:
    """The claim of `reference` on units. `state` is held, confirmed, fulfilled, released or expired."""

    id: UUID
    reference: str
    state: str
    created_at: datetime
    expires_at: datetime
    allocations: list[Allocation]


class ItemNotFound(Refusal):
    """No inventory item belongs to these products."""

    def __init__(self, product_ids: Collection[int]) -> None:
        self.product_ids = sorted(product_ids)
        super().__init__(f"No inventory item for: {', '.join(map(str, self.product_ids))}.")


class WarehouseNotFound(Refusal):
    """No warehouse has these codes."""

    def __init__(self, codes: Collection[str]) -> None:
        self.codes = sorted(codes)
        super().__init__(f"There is no warehouse {', '.join(self.codes)}.")


class WarehouseExists(Refusal):
    """Another warehouse has this code."""

    def __init__(self, code: str) -> None:
        super().__init__(f"There is a warehouse {code} already.")


class WarehouseInUse(Refusal):
    """Stock or its history refers to the warehouse."""

    def __init__(self, code: str) -> None:
        super().__init__(f"The warehouse {code} has stock or a history of it; make it inactive instead.")


class ReservationNotFound(Refusal):
    """No reservation has this id."""

    def __init__(self, reservation_id: UUID) -> None:
        super().__init__(f"There is no reservation {reservation_id}.")


class InsufficientStock(Refusal):
    """Fewer units are available than were asked for; `shortages` names every product that is short, exactly."""

    def __init__(self, shortages: Sequence[Shortage]) -> None:
        self.shortages = list(shortages)
        super().__init__("There is not enough stock for all that was asked for.")


class InvalidTransition(Refusal):
    """The reservation is in a state from which this step does not lead on."""

    def __init__(self, current_status: str) -> None:
        self.current_status = current_status
        super().__init__(f"The reservation is {current_status}.")


class LevelOutOfRange(Refusal):
    """A stock level would leave the range of 0 to `highest` units."""

    def __init__(self, highest: int) -> None:
        super().__init__(f"A stock level may be 0 to {highest:,} units.")
