"""Orders: what was asked for, at which price, and where it is on its way. Stock is inventory's to give."""

from orders.services._checkout import checkout
from orders.services._facts import (
    HoldLimitReached,
    InvalidTransition,
    MixedCurrencies,
    Order,
    OrderEvent,
    OrderLine,
    OrderNotFound,
    Pick,
    PriceChange,
    PriceChanged,
    Share,
    Wish,
)
from orders.services._lifecycle import cancel_order, confirm_order, expire_due, fulfill_order, place_order, return_items
from orders.services._reading import CHANGE, CONFIRM, count_by_status, get_order, list_orders, pick_list

__all__ = [
    "CHANGE",
    "CONFIRM",
    "HoldLimitReached",
    "InvalidTransition",
    "MixedCurrencies",
    "Order",
    "OrderEvent",
    "OrderLine",
    "OrderNotFound",
    "Pick",
    "PriceChange",
    "PriceChanged",
    "Share",
    "Wish",
    "cancel_order",
    "checkout",
    "confirm_order",
    "count_by_status",
    "expire_due",
    "fulfill_order",
    "get_order",
    "list_orders",
    "pick_list",
    "place_order",
    "return_items",
]
