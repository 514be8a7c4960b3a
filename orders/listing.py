"""Queries for orders."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db.models import Count, Exists, OuterRef, Q, QuerySet

from inventory import services as inventory
from orders import models
from shop.toolkit import money
from shop.toolkit.callers import SYSTEM, Caller, System
from shop.toolkit.db.pages import Page, PageRequest, page_of
from shop.toolkit.ids import first_id_at
from shop.toolkit.refusals import Refusal
from users import services as users


@dataclass(frozen=True)
class Share:
    """Units of an order line that come from one warehouse."""

    warehouse: str
    quantity: int


@dataclass(frozen=True)
class OrderLine:
    """One line as ordered, and what has happened to its units.

    `waiting` units are promised, but are not on hand yet or are needed by older promises; 0 unless confirmed.
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
    """Units of a product still to be picked in a warehouse. This order can have `ready` of them now."""

    warehouse: str
    sku: str
    name: str
    quantity: int
    ready: int

    @property
    def waiting(self) -> int:
        """Units that are not on hand yet, or that older promises need."""
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
    """An order with its lines and its history. `expires_at` is None unless it is pending."""

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


class OrderNotFound(Refusal):
    """No order that the caller may see has this id."""

    def __init__(self, order_id: UUID) -> None:
        super().__init__(f"There is no order {order_id}.")


OWNER = "orders"  # of the reservations that orders make
VIEW, CHANGE, CONFIRM = "orders.view_order", "orders.change_order", "orders.confirm_order"
PENDING, EXPIRED = models.Status.PENDING, models.Status.EXPIRED


def get_order(order_id: UUID, *, caller: Caller, permission: str = VIEW) -> Order:
    """Return one order. Other users' orders exist only for callers with `permission`. Raises OrderNotFound."""
    row = visible(caller, permission).filter(pk=order_id).first()
    if row is None:
        raise OrderNotFound(order_id)
    return orders_of([row])[0]


def pick_list(order_id: UUID) -> list[Pick]:
    """Return the units of an order still to be shipped, by warehouse and SKU; none unless it is confirmed.

    Raises OrderNotFound.
    """
    row = visible(SYSTEM, VIEW).filter(pk=order_id).first()
    if row is None:
        raise OrderNotFound(order_id)
    if row.status not in (models.Status.CONFIRMED, models.Status.PARTIALLY_FULFILLED):
        return []
    names = {line.product_id: (line.sku, line.name) for line in lines_of([row])[row.pk]}
    claims = inventory.get_reservation(row.reservation_id, caller=SYSTEM).lines
    picks = [Pick(claim.warehouse, *names[claim.product_id], claim.open, claim.ready) for claim in claims if claim.open]
    return sorted(picks, key=lambda pick: (pick.warehouse, pick.sku))


def list_orders(
    *,
    page: PageRequest,
    caller: Caller,
    status: str | None = None,
    created_from: datetime | None = None,
    created_to: datetime | None = None,
    search: str = "",
) -> Page[Order]:
    """Return orders, newest first, in a constant number of statements. A page has at most 2,000 lines, or one order.

    `created_from` is inclusive, `created_to` exclusive. `search` must equal an order number, a SKU or, for callers who
    see all orders, an email address; the number and the address ignore case. Raises InvalidCursor.
    """
    rows = visible(caller, VIEW)
    given = {"created_at__gte": created_from, "created_at__lt": created_to}
    rows = rows.filter(**{name: value for name, value in given.items() if value is not None})
    if status is not None:
        rows = rows.filter(has_status(status, rows))
    if search:
        lines = models.OrderLine.objects.filter(order_id=OuterRef("pk"), sku=search)
        found = Q(number=search.upper()) | Q(Exists(lines))
        rows = rows.filter(found | Q(user_id__in=users.ids_by_email(search)) if caller.may(VIEW) else found)
    # The ids are ordered by time: they give the order of creation, and are unique as paging requires.
    found_page = page_of(rows, order=["-id"], request=page, parts=_count_lines)
    return Page(orders_of(found_page.results), found_page.next, found_page.previous)


def _count_lines(rows: Sequence[models.Order]) -> dict[UUID, int]:
    lines = models.OrderLine.objects.filter(order_id__in=[row.pk for row in rows]).order_by()
    return dict(lines.values_list("order_id").annotate(count=Count("position")))


def count_by_status(*, since: datetime) -> dict[str, int]:
    """Return the number of orders created since then in each status, in the order of the enum."""
    # Filtered by the key, which starts with the time and is indexed.
    rows = models.Order.objects.filter(pk__gte=first_id_at(since)).order_by()
    counts = Counter(dict(rows.values_list("status").annotate(count=Count("pk"))))
    gone = len(_holds_ended(rows))
    counts.update({PENDING: -gone, EXPIRED: gone})
    return {status.value: counts[status] for status in models.Status}


def has_status(status: str, rows: QuerySet[models.Order]) -> Q:
    """Return the condition that one of `rows` is shown with this status.

    An order expires when its hold ends; its row is updated by the next run of `expire_due`.
    """
    if status not in (PENDING, EXPIRED):
        return Q(status=status)
    gone = Q(status=PENDING, reservation_id__in=_holds_ended(rows))
    return Q(status=PENDING) & ~gone if status == PENDING else Q(status=EXPIRED) | gone


def shown_status(status: str, reservation_state: str) -> str:
    """Return the status to show, from the status of the row and the state of its reservation."""
    return str(EXPIRED if status == PENDING and reservation_state == EXPIRED else status)


def show_ended_holds(rows: Iterable[models.Order]) -> None:
    """Set pending rows whose hold has ended to `expired`, without saving them."""
    pending = {row.reservation_id: row for row in rows if row.status == PENDING}
    for reservation_id in inventory.expired_among(pending) if pending else ():
        pending[reservation_id].status = EXPIRED


def _holds_ended(rows: QuerySet[models.Order]) -> list[UUID]:
    """Return the expired reservations of those of `rows` that are still pending."""
    return inventory.expired_among(list(rows.filter(status=PENDING).values_list("reservation_id", flat=True)))


def visible(caller: Caller, permission: str) -> QuerySet[models.Order]:
    """Return all orders for the shop itself and for callers with `permission`, otherwise the caller's own."""
    # A payment service confirms all orders without being staff.
    sees_all = caller.holds(CONFIRM) if permission == CONFIRM else caller.may(permission)
    if sees_all or isinstance(caller, System):
        return models.Order.objects.all()
    return models.Order.objects.filter(user_id=caller.id)


def orders_of(rows: Sequence[models.Order]) -> list[Order]:
    """Return orders with their lines, events and reservations, in a constant number of statements."""
    lines = lines_of(rows)
    reservations = inventory.reservations([row.reservation_id for row in rows], caller=SYSTEM)
    events = events_of(rows)
    return [order_of(row, lines[row.pk], events[row.pk], reservations[row.reservation_id]) for row in rows]


def lines_of(rows: Sequence[models.Order]) -> dict[UUID, list[models.OrderLine]]:
    lines: dict[UUID, list[models.OrderLine]] = {row.pk: [] for row in rows}
    for line in models.OrderLine.objects.filter(order_id__in=lines).order_by("order_id", "position"):
        lines[line.order_id].append(line)
    return lines


def events_of(rows: Sequence[models.Order]) -> dict[UUID, list[models.OrderEvent]]:
    """Return the events of these orders, oldest first."""
    events: dict[UUID, list[models.OrderEvent]] = {row.pk: [] for row in rows}
    for event in models.OrderEvent.objects.filter(order_id__in=events).order_by("order_id", "number"):
        events[event.order_id].append(event)
    return events


def order_of(
    row: models.Order,
    lines: Sequence[models.OrderLine],
    events: Sequence[models.OrderEvent],
    reservation: inventory.Reservation,
) -> Order:
    """Build an order from its rows and its reservation."""
    shares = shares_of(reservation)
    waits = _waiting(lines, reservation)
    return Order(
        id=row.pk,
        number=row.number,
        user_id=row.user_id,
        status=shown_status(row.status, reservation.state),
        currency=row.currency,
        total=money.to_minor_unit(row.total, row.currency),
        expires_at=reservation.expires_at,
        payment_reference=row.payment_reference,
        items=[
            _line(line, row.currency, take_shares(shares[line.product_id], line.quantity), waits[line.position])
            for line in lines
        ],
        events=[OrderEvent(event.event, event.actor_id, event.reason, event.created_at) for event in events],
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _waiting(lines: Sequence[models.OrderLine], reservation: inventory.Reservation) -> dict[int, int]:
    """Return the waiting units of each line by position. Of lines of one product, the last ones wait first."""
    left: Counter[int] = Counter()
    if reservation.state == models.Status.CONFIRMED:
        for claim in reservation.lines:
            left[claim.product_id] += claim.open - claim.ready
    waits = {}
    for line in reversed(lines):
        units = min(left[line.product_id], line.quantity - line.fulfilled - line.cancelled)
        waits[line.position] = units
        left[line.product_id] -= units
    return waits


def shares_of(reservation: inventory.Reservation) -> dict[int, list[Share]]:
    """Return the units of each product by warehouse; an empty list for a product without any."""
    shares: dict[int, list[Share]] = defaultdict(list)
    for claim in reservation.lines:
        shares[claim.product_id].append(Share(claim.warehouse, claim.quantity))
    return shares


def take_shares(left: list[Share], quantity: int) -> list[Share]:
    """Remove `quantity` units from the front of `left` and return them: lines of one product share its units."""
    taken: list[Share] = []
    while quantity and left:
        first = left.pop(0)
        used = min(first.quantity, quantity)
        taken.append(Share(first.warehouse, used))
        quantity -= used
        if used < first.quantity:
            left.insert(0, Share(first.warehouse, first.quantity - used))
    return taken


def _line(row: models.OrderLine, currency: str, allocations: list[Share], waiting: int) -> OrderLine:
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
        waiting=waiting,
        allocations=allocations,
    )
