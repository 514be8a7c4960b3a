"""Orders: what was asked for, at which price, and where it is on its way. Stock is inventory's to give."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

from inventory import services as inventory
from orders import models, sql
from products import services as products
from shop.toolkit import money
from shop.toolkit.ids import new_id
from shop.toolkit.pages import Page, PageRequest, page_of
from shop.toolkit.refusals import Refusal
from users import services as users

OWNER = "orders"  # of the reservations that orders make
PENDING, CONFIRMED, CANCELLED = models.Status.PENDING, models.Status.CONFIRMED, models.Status.CANCELLED


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
    """One line as ordered, and what became of its units."""

    product_id: int
    sku: str
    name: str
    quantity: int
    unit_price: Decimal
    total_price: Decimal
    fulfilled: int
    returned: int
    cancelled: int
    allocations: list[Share]


@dataclass(frozen=True)
class Order:
    """An order with its lines in the order they were asked for. `expires_at` is None unless it is pending."""

    id: UUID
    number: str
    user_id: int
    status: str
    currency: str
    total: Decimal
    expires_at: datetime | None
    payment_reference: str
    items: list[OrderLine]
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class PriceChange:
    """A product costs `actual` where the buyer expected `expected`."""

    product_id: int
    expected: Decimal
    actual: Decimal
    currency: str


class OrderNotFound(Refusal):
    """No order of the one who asks has this id."""

    def __init__(self, order_id: UUID) -> None:
        super().__init__(f"There is no order {order_id}.")


class PriceChanged(Refusal):
    """The buyer saw other prices than those in force; `price_changes` names every one."""

    def __init__(self, price_changes: Sequence[PriceChange]) -> None:
        self.price_changes = list(price_changes)
        super().__init__("Prices have changed since they were shown.")


class MixedCurrencies(Refusal):
    """The products of one order have different currencies."""

    def __init__(self, currencies: set[str]) -> None:
        super().__init__(f"One order has one currency; these products have {', '.join(sorted(currencies))}.")


class InvalidTransition(Refusal):
    """The order is in a status from which this step does not lead on."""

    def __init__(self, current_status: str) -> None:
        self.current_status = current_status
        super().__init__(f"The order is {current_status}.")


@transaction.atomic(savepoint=False)
def checkout(*, user_id: int, wishes: Sequence[Wish], actor_id: int, now: datetime) -> Order:
    """Place a pending order and hold its stock, or do nothing; the number of statements is the same for any order.

    Prices are the server's. Raises products.ProductNotFound, PriceChanged, MixedCurrencies, users.UserNotFound (when
    somebody else orders for `user_id`), inventory.InsufficientStock.
    """
    if user_id != actor_id:
        users.get_user(user_id)
    on_sale = products.products_on_sale({wish.product_id for wish in wishes})
    _refuse_changed_prices(wishes, on_sale)
    currency = _common_currency(on_sale)
    lines = [_new_line(wish, on_sale[wish.product_id]) for wish in wishes]
    order_id, reservation_id = new_id(), new_id()
    number = _number(order_id, now)
    total = sum((line.total_price for line in lines), Decimal(0))
    sql.insert_order(
        order_id,
        number=number,
        user_id=user_id,
        reservation_id=reservation_id,
        currency=currency,
        total=total,
        now=now,
        lines=lines,
    )
    # Last, because from here to the commit other buyers of the same products wait.
    reservation = inventory.reserve(
        reservation_id=reservation_id,
        owner=OWNER,
        reference=number,
        demand=[inventory.Demand(line.product_id, line.quantity) for line in lines],
        ttl=timedelta(seconds=settings.RESERVATION_TTL_SECONDS),
        actor_id=actor_id,
    )
    row = models.Order(
        id=order_id, number=number, user_id=user_id, reservation_id=reservation_id, currency=currency, total=total,
        created_at=now, updated_at=now,
    )  # fmt: skip
    rows = [models.OrderLine(order_id=order_id, **line._asdict()) for line in lines]
    return _order(row, rows, reservation)


@transaction.atomic(savepoint=False)
def confirm_order(
    order_id: UUID, *, visible_to: int | None, actor_id: int, payment_reference: str, now: datetime
) -> Order:
    """Commit a pending order's stock to it. Repeating it is harmless. Raises OrderNotFound, InvalidTransition."""
    row = _locked(order_id, visible_to)
    if row.status == CONFIRMED:
        return _orders([row])[0]
    if row.status != PENDING:
        raise InvalidTransition(row.status)
    row.status, row.payment_reference, row.updated_at = CONFIRMED, payment_reference, now
    row.save(update_fields=["status", "payment_reference", "updated_at"])
    return _order(row, _lines([row])[row.pk], inventory.confirm(row.reservation_id, owner=OWNER, actor_id=actor_id))


@transaction.atomic(savepoint=False)
def cancel_order(order_id: UUID, *, visible_to: int | None, actor_id: int, now: datetime) -> Order:
    """Cancel all that is not shipped and release its stock. Repeating it is harmless.

    Raises OrderNotFound, InvalidTransition.
    """
    row = _locked(order_id, visible_to)
    if row.status == CANCELLED:
        return _orders([row])[0]
    if row.status not in (PENDING, CONFIRMED):
        raise InvalidTransition(row.status)
    row.status, row.updated_at = CANCELLED, now
    row.save(update_fields=["status", "updated_at"])
    sql.cancel_open_lines(order_id)
    return _order(row, _lines([row])[row.pk], inventory.release(row.reservation_id, owner=OWNER, actor_id=actor_id))


def get_order(order_id: UUID, *, visible_to: int | None) -> Order:
    """Return one order; with `visible_to`, others' orders do not exist. Raises OrderNotFound."""
    row = _visible(visible_to).filter(pk=order_id).first()
    if row is None:
        raise OrderNotFound(order_id)
    return _orders([row])[0]


def list_orders(*, page: PageRequest, visible_to: int | None, status: str | None = None) -> Page[Order]:
    """Return orders, newest first, in a constant number of statements. Raises InvalidCursor."""
    rows = _visible(visible_to)
    if status is not None:
        rows = rows.filter(status=status)
    # The ids are ordered by time, so they are the order of creation and a key at once.
    found = page_of(rows, order=["-id"], request=page)
    return Page(_orders(found.results), found.next, found.previous)


def _visible(visible_to: int | None) -> QuerySet[models.Order]:
    return models.Order.objects.all() if visible_to is None else models.Order.objects.filter(user_id=visible_to)


def _locked(order_id: UUID, visible_to: int | None) -> models.Order:
    row = _visible(visible_to).select_for_update(no_key=True).filter(pk=order_id).first()
    if row is None:
        raise OrderNotFound(order_id)
    return row


def _refuse_changed_prices(wishes: Sequence[Wish], on_sale: dict[int, products.Product]) -> None:
    changes = {
        PriceChange(wish.product_id, wish.unit_price, product.price, product.currency): None
        for wish in wishes
        if wish.unit_price is not None and wish.unit_price != (product := on_sale[wish.product_id]).price
    }
    if changes:
        raise PriceChanged(list(changes))


def _common_currency(on_sale: dict[int, products.Product]) -> str:
    currencies = {product.currency for product in on_sale.values()}
    if len(currencies) > 1:
        raise MixedCurrencies(currencies)
    return currencies.pop()


def _new_line(wish: Wish, product: products.Product) -> sql.NewLine:
    total_price = product.price * wish.quantity
    return sql.NewLine(product.id, product.sku, product.name, wish.quantity, product.price, total_price)


def _number(order_id: UUID, now: datetime) -> str:
    """Return a number that people can read out: the day, and 50 of the id's random bits in base32.

    No counter behind it, which every checkout would queue for, and nobody can tell from it how much is sold.
    """
    text = base64.b32encode(((order_id.int & ((1 << 50) - 1)) << 6).to_bytes(7)).decode()[:10]
    return f"{now:%y%m%d}-{text[:5]}-{text[5:]}"


def _orders(rows: Sequence[models.Order]) -> list[Order]:
    """Complete order rows with their lines and their reservations, in a constant number of statements."""
    lines = _lines(rows)
    reservations = inventory.reservations([row.reservation_id for row in rows])
    return [_order(row, lines[row.pk], reservations[row.reservation_id]) for row in rows]


def _lines(rows: Sequence[models.Order]) -> dict[UUID, list[models.OrderLine]]:
    lines: dict[UUID, list[models.OrderLine]] = {row.pk: [] for row in rows}
    for line in models.OrderLine.objects.filter(order_id__in=lines).order_by("order_id", "position"):
        lines[line.order_id].append(line)
    return lines


def _order(row: models.Order, lines: Sequence[models.OrderLine], reservation: inventory.Reservation) -> Order:
    left: dict[int, list[Share]] = {}
    for claim in reservation.lines:
        left.setdefault(claim.product_id, []).append(Share(claim.warehouse, claim.quantity))
    return Order(
        id=row.pk,
        number=row.number,
        user_id=row.user_id,
        status=str(row.status),
        currency=row.currency,
        total=money.to_minor_unit(row.total, row.currency),
        expires_at=reservation.expires_at if row.status == PENDING else None,
        payment_reference=row.payment_reference,
        items=[_line(line, row.currency, _take(left.get(line.product_id, []), line.quantity)) for line in lines],
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _take(left: list[Share], quantity: int) -> list[Share]:
    """Take `quantity` units off the front of `left`: lines of one product share its allocations in their order."""
    taken: list[Share] = []
    while quantity and left:
        first = left.pop(0)
        used = min(first.quantity, quantity)
        taken.append(Share(first.warehouse, used))
        quantity -= used
        if used < first.quantity:
            left.insert(0, Share(first.warehouse, first.quantity - used))
    return taken


def _line(row: models.OrderLine, currency: str, allocations: list[Share]) -> OrderLine:
    return OrderLine(
        product_id=row.product_id,
        sku=row.sku,
        name=row.name,
        quantity=row.quantity,
        unit_price=money.to_minor_unit(row.unit_price, currency),
        total_price=money.to_minor_unit(row.total_price, currency),
        fulfilled=row.fulfilled,
        returned=row.returned,
        cancelled=row.cancelled,
        allocations=allocations,
    )
