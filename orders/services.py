"""Orders: what was asked for, at which price, and where it is on its way. Stock is inventory's to give."""

from orders.checkout import HoldLimitReached, MixedCurrencies, PriceChanged
from orders.lifecycle import InvalidTransition, expire_due
from orders.listing import OrderNotFound, count_by_status
