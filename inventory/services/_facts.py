"""The nouns and refusals of inventory: what crosses its boundary."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypedDict
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
    """One item's units in one warehouse. `available` is 0 in an inactive warehouse: nothing is sold from there.

    `low_stock` is whether `available` is at or below the reorder point, where one is set, the warehouse is active and
    the product on sale.
    """

    product_id: int
    warehouse: str
    on_hand: int
    reserved: int
    committed: int
    unavailable: int
    safety_stock: int
    available: int
    reorder_point: int | None
    backorder_limit: int
    low_stock: bool
    is_active: bool


class PolicyChange(TypedDict, total=False):
    """What is to change of a stock row's policy; what is absent stays."""

    safety_stock: int
    reorder_point: int | None
    backorder_limit: int


@dataclass(frozen=True)
class Item:
    """One item with its totals over all warehouses; `low_stock` when it is low in any of them."""

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
class Labels:
    """What inventory knows of a product; an inactive one is not on sale."""

    product_id: int
    sku: str
    name: str
    is_active: bool


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
    """Whether `quantity` units of a product can be reserved, out of `available_quantity`.

    Of a product that is archived or unknown, nothing is available.
    """

    product_id: int
    quantity: int
    available: bool
    available_quantity: int
    is_on_sale: bool


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
class Preview:
    """What a reserve would do just now: where the units would come from, or all that is short."""

    allocations: list[Allocation]
    shortages: list[Shortage]


@dataclass(frozen=True)
class ReservationLine:
    """A reservation's claim on one product in one warehouse: quantity = open + fulfilled + released.

    Of a confirmed one, `ready` open units are there once all that was promised before is covered; else it is 0.
    """

    product_id: int
    warehouse: str
    quantity: int
    open: int
    fulfilled: int
    released: int
    returned: int
    ready: int


@dataclass(frozen=True)
class Reservation:
    """The claim of `reference` on units. `state` is held, confirmed, fulfilled, released or expired.

    `expires_at` is the deadline of a held one, and None of all others.
    """

    id: UUID
    reference: str
    state: str
    created_at: datetime
    expires_at: datetime | None
    ended_at: datetime | None
    lines: list[ReservationLine]


@dataclass(frozen=True)
class Hold:
    """Where a reservation is, and how long its deadline has passed by the database's clock, negative before it."""

    state: str
    late_by: timedelta


@dataclass(frozen=True)
class Movement:
    """One row of the ledger: what changed, and the balances after it."""

    id: str
    product_id: int
    warehouse: str
    seq: int
    kind: str
    reason: str
    on_hand_delta: int
    reserved_delta: int
    committed_delta: int
    unavailable_delta: int
    on_hand: int
    reserved: int
    committed: int
    unavailable: int
    reference: str
    actor_id: int | None
    note: str
    import_id: UUID | None
    created_at: datetime


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
    """Why `item.available` is what it is: who holds units, to which orders they are promised, at most 1,000 of each."""

    item: Item
    holds: list[Promise]
    orders: list[Promise]


@dataclass(frozen=True)
class CountLine:
    """What was counted of one product, what the book said at that moment, and the difference.

    `posted_at` is when the stock was corrected by it, or found to be right; None while that is to be done.
    """

    product_id: int
    sku: str
    name: str
    counted: int
    book: int
    variance: int
    counted_by: int | None
    counted_at: datetime
    posted_at: datetime | None


@dataclass(frozen=True)
class CountEntry:
    """What an entry made of a line; `before` is what had been counted, None for a first entry."""

    line: CountLine
    before: int | None


@dataclass(frozen=True)
class CountProgress:
    """How many products and units a count has, and its newest lines."""

    products: int
    units: int
    latest: list[CountLine]


@dataclass(frozen=True)
class Count:
    """A stocktake of one warehouse, open until every line is posted or it is abandoned."""

    id: UUID
    warehouse: str
    note: str
    opened_at: datetime
    closed_at: datetime | None
    is_abandoned: bool
    lines: list[CountLine]


@dataclass(frozen=True)
class CountObstacle:
    """Why a line of a count cannot be posted: a sentence that says what to do, and the promises in its way, if any."""

    product_id: int
    sku: str
    detail: str
    promises: list[Promise]


@dataclass(frozen=True)
class CountReview:
    """A count, its lines that cannot be posted, and those that closing it has just posted."""

    count: Count
    obstacles: list[CountObstacle]
    posted: list[CountLine]


class ItemNotFound(Refusal):
    """No inventory item belongs to these products."""

    def __init__(self, product_ids: Collection[int]) -> None:
        self.product_ids = sorted(product_ids)
        super().__init__(f"No inventory item, or none on sale, for: {', '.join(map(str, self.product_ids))}.")


class SkuNotFound(Refusal):
    """No inventory item has this SKU."""

    def __init__(self, sku: str) -> None:
        super().__init__(f"There is no product with the SKU {sku}.")


class WarehouseNotFound(Refusal):
    """No warehouse has these codes."""

    def __init__(self, codes: Collection[str]) -> None:
        self.codes = sorted(codes)
        super().__init__(f"There is no warehouse {', '.join(self.codes)}.")


class ScopeNotYours(Refusal):
    """The actor works in some warehouses only, or would change their own assignment."""

    def __init__(
        self,
        said: str = "You cannot change your own warehouse assignment. Ask someone with access to all warehouses.",
    ) -> None:
        super().__init__(said)


class StaleScope(Refusal):
    """Somebody else changed where a member works; `current` has the codes of their warehouses, none for all."""

    def __init__(self, *, current: Sequence[str], expected: Sequence[str]) -> None:
        self.current = list(current)
        now, then = (", ".join(codes) or "all warehouses" for codes in (current, expected))
        super().__init__(f"Somebody else changed this meanwhile: it is {now} now, and was {then}. Nothing was saved.")


class WarehouseExists(Refusal):
    """Another warehouse has this code."""

    def __init__(self, code: str) -> None:
        super().__init__(f"There is a warehouse {code} already.")


class WarehouseInUse(Refusal):
    """Stock or its history refers to the warehouse."""

    def __init__(self, code: str) -> None:
        super().__init__(f"The warehouse {code} has stock, a history or people of its own; make it inactive instead.")


class ReservationNotFound(Refusal):
    """No reservation has this id."""

    def __init__(self, reservation_id: UUID) -> None:
        super().__init__(f"There is no reservation {reservation_id}.")


class NotTheOwner(Refusal):
    """The reservation belongs to `owner`, whose own records must follow whatever becomes of it."""

    def __init__(self, owner: str) -> None:
        self.owner = owner
        super().__init__(f"This reservation belongs to {owner}; make the change there.")


class ReferenceInUse(Refusal):
    """An open reservation has this reference already."""

    def __init__(self, reference: str) -> None:
        super().__init__(f"There is an open reservation for {reference} already.")


class InsufficientStock(Refusal):
    """Fewer units are available than were asked for; `shortages` names every product that is short, exactly."""

    def __init__(self, shortages: Sequence[Shortage], said: str = "") -> None:
        self.shortages = list(shortages)
        super().__init__(said or "There is not enough stock for all that was asked for.")


class InvalidTransition(Refusal):
    """The reservation is in a state from which this step does not lead on."""

    def __init__(self, current_status: str) -> None:
        self.current_status = current_status
        super().__init__(f"The reservation is {current_status}.")


class LevelOutOfRange(Refusal):
    """A stock level would leave the range of 0 to `highest` units."""

    def __init__(self, highest: int) -> None:
        super().__init__(f"A stock level may be 0 to {highest:,} units.")


class ExceedsOpen(InvalidTransition):
    """More units were asked to be shipped, released or taken back than there are to."""

    def __init__(self, current_status: str, shortages: Sequence[Shortage]) -> None:
        super().__init__(current_status)
        self.shortages = list(shortages)
        self.args = ("More units than the reservation has to give: see shortages.",)


class HoldLimitReached(Refusal):
    """The hold would become older than a hold may; it can last `left` more seconds from now on."""

    def __init__(self, left: int) -> None:
        super().__init__(
            f"This hold can last {left:,} more seconds. Ask for at most that."
            if left > 0
            else "This hold is as old as a hold may become. Reserve again."
        )


class StaleQuantity(Refusal):
    """The stock was not what the writer believed; `current` is what is on hand."""

    def __init__(self, current: int) -> None:
        self.current = current
        super().__init__(f"{current} units are on hand, which is not what was expected; look again.")


class StockInUse(Refusal):
    """The stock row holds units, or promises of them."""

    def __init__(self, warehouse: str, *, on_hand: int, promised: int) -> None:
        super().__init__(
            f"In {warehouse}, {on_hand:,} units are on hand and {promised:,} promised. Move them before you remove it."
        )


class StockPromised(Refusal):
    """The loss would break `promises`: reservations that claim the units."""

    def __init__(self, promises: Sequence[Promise], said: str = "") -> None:
        self.promises = list(promises)
        super().__init__(said or "These units are promised; release or move the promises first.")


class SameWarehouse(Refusal):
    """A transfer from a warehouse to itself."""

    def __init__(self) -> None:
        super().__init__("A transfer needs two different warehouses.")


class CountNotFound(Refusal):
    """No count has this id."""

    def __init__(self, count_id: UUID) -> None:
        super().__init__(f"There is no count {count_id}.")


class CountClosed(Refusal):
    """The count is closed or abandoned; what was posted of it is in the ledger."""

    def __init__(self) -> None:
        super().__init__("This count is closed. Open another one.")


class NotCounted(Refusal):
    """The count has no line of this product."""

    def __init__(self, product_id: int) -> None:
        super().__init__(f"Product {product_id} has not been counted here.")


class CountLinePosted(Refusal):
    """The line was posted and is in the ledger; it stays in the count."""

    def __init__(self, sku: str) -> None:
        super().__init__(f"{sku} is posted already. To correct it, enter how many there are.")


class RecountNeeded(Refusal):
    """Units came or went after the line was counted, so nobody knows what a further unit is added to."""

    def __init__(self, sku: str) -> None:
        super().__init__(
            f"Units of {sku} came or went since it was counted. Remove the line and count again, or enter how many "
            "there are now."
        )
