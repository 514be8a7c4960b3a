"""The public interface of orders, and its only module that other apps may import."""

from orders.checkout import HoldLimitReached, MixedCurrencies, PriceChanged
from orders.lifecycle import InvalidTransition, expire_due
from orders.listing import OrderNotFound, count_by_status
