"""Prometheus metrics of inventory."""

from collections.abc import Iterable

from prometheus_client import Counter, Histogram

from inventory.stock.allocation import Shortage

RESERVATIONS = Counter(
    "shop_reservations", "Reservations by outcome: held, short, confirmed, released, expired.", ["outcome"]
)
HELD, SHORT, CONFIRMED, RELEASED, EXPIRED = (
    RESERVATIONS.labels(outcome) for outcome in ("held", "short", "confirmed", "released", "expired")
)
SHORTAGES = Counter("shop_shortages", "Refused reserves by product that was short.", ["product_id"])
STALE_QUANTITIES = Counter("shop_stale_quantities", "Compare-and-sets that found another quantity than expected.")
LOCK_SECONDS = Histogram(
    "shop_stock_lock_seconds",
    "Time to lock the stock rows of a reserve, including the wait for other transactions.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1, 2),
)
# Products with a label of their own, per process. Further ones share the label OTHERS: labels cost memory.
MAX_LABELLED = 100
OTHERS = "others"

_labelled: set[int] = set()


def count_shortages(shortages: Iterable[Shortage]) -> None:
    """Count a refused reserve, and each product that it was short of."""
    SHORT.inc()
    for shortage in shortages:
        SHORTAGES.labels(_label(shortage.product_id)).inc()


def _label(product_id: int) -> str:
    if product_id not in _labelled:
        if len(_labelled) >= MAX_LABELLED:
            return OTHERS
        _labelled.add(product_id)
    return str(product_id)
