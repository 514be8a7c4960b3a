"""What inventory counts for Prometheus."""

from collections.abc import Iterable

from prometheus_client import Counter, Histogram

from inventory.stock.allocation import Shortage

RESERVATIONS = Counter(
    "shop_reservations", "Reservations by what became of them: held, short, confirmed, released, expired.", ["outcome"]
)
HELD, SHORT, CONFIRMED, RELEASED, EXPIRED = (
    RESERVATIONS.labels(outcome) for outcome in ("held", "short", "confirmed", "released", "expired")
)
SHORTAGES = Counter("shop_shortages", "Times that a product was short.", ["product_id"])
STALE_QUANTITIES = Counter("shop_stale_quantities", "Compare-and-sets that found another quantity than expected.")
LOCK_SECONDS = Histogram(
    "shop_stock_lock_seconds",
    "Time that a reserve took to lock its stock rows, waiting for others included.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1, 2),
)
TOLD_APART = 100  # products of each process; whatever is short after that many is one figure
OTHERS = "others"

_told_apart: set[int] = set()


def count_shortages(shortages: Iterable[Shortage]) -> None:
    """Count a refused reserve, and each product that it was short of."""
    SHORT.inc()
    for shortage in shortages:
        SHORTAGES.labels(_name(shortage.product_id)).inc()


def _name(product_id: int) -> str:
    if product_id not in _told_apart:
        if len(_told_apart) >= TOLD_APART:
            return OTHERS
        _told_apart.add(product_id)
    return str(product_id)
