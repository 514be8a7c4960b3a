"""The nouns and refusals of orders: what crosses its boundary."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from inventory import services as inventory
from shop.toolkit.refusals import Refusal


@dataclass(frozen=True)
class Wish:
    """A line that a buyer asks for. `unit_price` is the price they saw, None when they do not say."""

    product_id: int
    quantity: int
    unit_price: Decimal | None


@dataclass(frozen=True)
class Share:
    """Units of an order line that come from one warehouse."""

    warehouse: str
    quantity: int


@dataclass(frozen=True)
class OrderLine:
    """One line as ordered, and what became of its units.

    `waiting` are promised and not there yet, or there for older promises; of orders that are not confirmed, none are.
    """

    product_id: int
    sku: str
    name: str
    quantity: int
    unit_price: Decimal
    total_price: Decimal
    fulfilled: int
    returned: int
    cancelled: int
    waiting: int
    allocations: list[Share]


@dataclass(frozen=True)
class Pick:
    """Units of a product that are still to be fetched from a warehouse; `ready` of them are there for this order."""

    warehouse: str
    sku: str
    name: str
    quantity: int
    ready: int

    @property
    def waiting(self) -> int:
        """Units that are not there yet, or there for older promises."""
        return self.quantity - self.ready


@dataclass(frozen=True)
class OrderEvent:
    """One step in the life of an order."""

    event: str
    actor_id: int | None
    reason: str
    created_at: datetime


@dataclass(frozen=True)
class Order:
    """An order with its lines as they were asked for, and its history. `expires_at` is None unless it is pending."""

    id: UUID
    number: str
    user_id: int
    status: str
    currency: str
    total: Decimal
    expires_at: datetime | None
    payment_reference: str
    items: list[OrderLine]
    events: list[OrderEvent]
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class PriceChange:
    """A product costs `actual` where the buyer expected `expected`; None when it is no longer on sale."""

    product_id: int
    expected: Decimal
    actual: Decimal | None
    currency: str


class OrderNotFound(Refusal):
    """No order of the one who asks has this id."""

    def __init__(self, order_id: UUID) -> None:
        super().__init__(f"There is no order {order_id}.")


class PriceChanged(Refusal):
    """The buyer saw other prices than those in force: `price_changes` names them, `shortages` all that is short."""

    def __init__(self, price_changes: Sequence[PriceChange], shortages: Sequence[inventory.Shortage]) -> None:
        self.price_changes = list(price_changes)
        self.shortages = list(shortages)
        gone = any(change.actual is None for change in self.price_changes)
        super().__init__(
            "Some products are no longer on sale at the price of this order."
            if gone
            else "Prices have changed since they were shown."
        )


class MixedCurrencies(Refusal):
    """The products of one order have different currencies."""

    def __init__(self, currencies: set[str]) -> None:
        super().__init__(f"One order has one currency; these products have {', '.join(sorted(currencies))}.")


class HoldLimitReached(Refusal):
    """One user would have more units in unpaid orders than one may."""

    def __init__(self, *, limit: int, held: int, asked: int) -> None:
        self.limit, self.held = limit, held
        super().__init__(
            f"One customer may have {limit:,} unpaid units. {held:,} are in unpaid orders, and this one has {asked:,}."
        )


class InvalidTransition(Refusal):
    """The order is in a status from which this step does not lead on."""

    def __init__(self, current_status: str) -> None:
        self.current_status = current_status
        super().__init__(f"The order is {current_status}.")
