"""Checkout: creates a pending order and holds its stock."""

import base64
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from django.conf import settings
from django.db import transaction

from inventory import services as inventory
from orders import models, sql
from orders.listing import OWNER, PENDING, Order, OrderEvent, OrderLine, shares_of, take_shares
from products import services as products
from shop.toolkit.callers import SYSTEM, Caller, System
from shop.toolkit.days import day_of
from shop.toolkit.ids import first_id_at, new_id
from shop.toolkit.plurals import counted
from shop.toolkit.refusals import Refusal
from shop.toolkit.telemetry.logs import tell_at_commit
from users import services as users


@dataclass(frozen=True)
class Wish:
    """A line that a buyer asks for. `unit_price` is the price that they saw; None if they did not say."""

    product_id: int
    quantity: int
    unit_price: Decimal | None


@dataclass(frozen=True)
class PriceChange:
    """A product that costs `actual` instead of `expected`; `actual` is None if it is no longer on sale."""

    product_id: int
    expected: Decimal
    actual: Decimal | None
    currency: str


class PriceChanged(Refusal):
    """The buyer saw outdated prices. `price_changes` has each of them, `shortages` every product that is short."""

    def __init__(self, price_changes: Sequence[PriceChange], shortages: Sequence[inventory.Shortage]) -> None:
        self.price_changes = list(price_changes)
        self.shortages = list(shortages)
        gone = any(change.actual is None for change in self.price_changes)
        super().__init__(
            "Some products of this order are no longer on sale. Place a new order without them."
            if gone
            else "Some prices have changed. Check the new prices and order again."
        )


class MixedCurrencies(Refusal):
    """The products of one order have different currencies."""

    def __init__(self, currencies: set[str]) -> None:
        super().__init__(
            f"These products have different currencies: {', '.join(sorted(currencies))}. Place one order per currency."
        )


class HoldLimitReached(Refusal):
    """The user would have more units in unpaid orders than allowed."""

    def __init__(self, *, limit: int, held: int, asked: int) -> None:
        self.limit, self.held = limit, held
        super().__init__(
            f"A customer may have at most {counted(limit, 'unpaid unit')}: {held:,} are in unpaid orders and {asked:,} "
            "in this one. Pay for or cancel an order first."
        )


logger = logging.getLogger(__name__)


@transaction.atomic(savepoint=False)
def checkout(*, user_id: int, wishes: Sequence[Wish], caller: Caller, now: datetime) -> Order:
    """Create a pending order and hold its stock, or do nothing. The number of statements is the same for any order.

    The order has the server's prices. If the buyer saw others, one refusal names these and every shortage. Raises
    products.ProductNotFound, PriceChanged, MixedCurrencies, users.UserNotFound (another buyer, who is unknown or
    inactive), HoldLimitReached, inventory.InsufficientStock.
    """
    if user_id != caller.actor_id and not users.get_user(user_id, caller=SYSTEM).is_active:
        raise users.UserNotFound(user_id)
    offers = products.offers({wish.product_id for wish in wishes})
    demand = [inventory.Demand(wish.product_id, wish.quantity) for wish in wishes]
    if changes := _price_changes(wishes, offers):
        raise PriceChanged(changes, inventory.shortages(demand))
    currency = _common_currency(offers)
    if (limit := settings.MAX_HELD_UNITS_PER_USER) is not None:
        # One checkout of a user at a time: two concurrent ones could each find room below the limit.
        users.lock_user(user_id)
    lines = [_new_line(wish, offers[wish.product_id]) for wish in wishes]
    order_id, reservation_id = new_id(), new_id()
    number = _number(order_id, now)
    total = sum((line.total_price for line in lines), Decimal(0))
    unpaid = sql.insert_order(
        order_id,
        number=number,
        user_id=user_id,
        actor_id=caller.actor_id,
        reservation_id=reservation_id,
        currency=currency,
        total=total,
        now=now,
        lines=lines,
        held_from=None if limit is None else held_from(now),
    )
    # Last: from here to the commit, other buyers of the same products wait.
    reservation = inventory.reserve(
        reservation_id=reservation_id,
        owner=OWNER,
        reference=number,
        demand=demand,
        ttl=timedelta(seconds=settings.RESERVATION_TTL_SECONDS),
        caller=System(caller.actor_id),  # orders have no scope: units come from any warehouse, whoever places them
    )
    # Checked after the stock: a shortage is the more useful answer.
    _refuse_hoarding(lines, unpaid, limit)
    tell_at_commit(logger, "order placed", order_id=order_id, number=number, user_id=user_id, actor_id=caller.actor_id)
    shares = shares_of(reservation)
    return Order(
        id=order_id,
        number=number,
        user_id=user_id,
        status=PENDING.value,
        currency=currency,
        total=total,
        expires_at=reservation.expires_at,
        payment_reference="",
        items=[
            OrderLine(
                **line._asdict(),
                fulfilled=0,
                returned=0,
                cancelled=0,
                waiting=0,
                allocations=take_shares(shares[line.product_id], line.quantity),
            )
            for line in lines
        ],
        events=[OrderEvent(models.Event.PLACED.value, caller.actor_id, "", now)],
        created_at=now,
        updated_at=now,
    )


def _refuse_hoarding(lines: Sequence[sql.NewLine], unpaid: int, limit: int | None) -> None:
    """Refuse an order that takes its buyer beyond the limit of unpaid units, if there is one."""
    asked = sum(line.quantity for line in lines)
    if limit is not None and unpaid + asked > limit:
        raise HoldLimitReached(limit=limit, held=unpaid, asked=asked)


def held_from(now: datetime) -> UUID:
    """Return the lowest id of orders that may still hold stock: older ones were placed before any current hold."""
    return first_id_at(now - timedelta(seconds=settings.RESERVATION_TTL_SECONDS))


def _price_changes(wishes: Sequence[Wish], offers: dict[int, products.Offer]) -> list[PriceChange]:
    """Return each product whose price differs from the one that the buyer saw, once."""
    changes = {
        PriceChange(wish.product_id, wish.unit_price, offer.price, offer.currency): None
        for wish in wishes
        if wish.unit_price is not None and wish.unit_price != (offer := offers[wish.product_id]).price
    }
    return list(changes)


def _common_currency(offers: dict[int, products.Offer]) -> str:
    currencies = {offer.currency for offer in offers.values()}
    if len(currencies) > 1:
        raise MixedCurrencies(currencies)
    return currencies.pop()


def _new_line(wish: Wish, offer: products.Offer) -> sql.NewLine:
    return sql.NewLine(offer.product_id, offer.sku, offer.name, wish.quantity, offer.price, offer.price * wish.quantity)


def _number(order_id: UUID, now: datetime) -> str:
    """Return a number that people can read out: the day in the shop's time zone, and 50 random bits of the id.

    There is no counter, which every checkout would have to wait for, and which would reveal how much is sold.
    """
    text = base64.b32encode(((order_id.int & ((1 << 50) - 1)) << 6).to_bytes(7)).decode()[:10]
    return f"{day_of(now):%y%m%d}-{text[:5]}-{text[5:]}"
