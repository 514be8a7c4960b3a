from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import PermissionDenied
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.request import Request

from inventory import services as inventory
from orders import checkout, lifecycle, listing
from orders.shapes import (
    CancelShape,
    CheckoutShape,
    ConfirmShape,
    FulfillShape,
    OrderListQuery,
    OrderShape,
    PlacedOrderShape,
    ReturnShape,
)
from shop.toolkit.http.permissions import caller_of, require, staff_with
from shop.toolkit.http.schema import answers, paged
from shop.toolkit.http.views import ApiView

# Why nothing is bought.
NO_SALE = (
    "permission_denied",
    "user_not_found",
    "product_not_found",
    "item_not_found",
    "insufficient_stock",
    "price_changed",
    "hold_limit_reached",
)


class OrderListView(ApiView):
    access = {"GET": [IsAuthenticated], "POST": [IsAuthenticated]}
    query_shapes = {"GET": OrderListQuery}

    @extend_schema(parameters=[OrderListQuery], responses=answers(200, paged(OrderShape)))
    def get(self, request: Request) -> HttpResponse:
        """List your own orders, newest first. With the permission to view orders, list everybody's."""
        return self.page(listing.list_orders(**self.parameters, caller=caller_of(request)), OrderShape)

    @extend_schema(request=CheckoutShape, responses=answers(201, OrderShape, *NO_SALE))
    def post(self, request: Request) -> HttpResponse:
        """Check out: hold the stock of every line, or of none."""
        given = self.body(CheckoutShape)
        buyer_id = _buyer_id(request, given.get("user_id"))
        wishes = [checkout.Wish(**line) for line in given["items"]]
        return self.command(
            lambda: checkout.checkout(user_id=buyer_id, wishes=wishes, caller=caller_of(request), now=timezone.now()),
            shape=OrderShape,
            status=201,
        )


def may_confirm(request: Request) -> bool:
    """Tell whether the caller may promise stock: who knows what is paid, or customers who buy on account."""
    return settings.CUSTOMERS_MAY_CONFIRM or knows_payments(request)


def knows_payments(request: Request) -> bool:
    """Tell whether the caller confirms everybody's orders. A payment service does so, and need not be staff."""
    return bool(request.user.has_perm("orders.confirm_order"))


class MayConfirm(BasePermission):
    message = "You may not confirm orders. The shop confirms an order once it is paid."

    def has_permission(self, request: Request, view: Any) -> bool:
        return may_confirm(request)


class CreateOrderView(ApiView):
    """Served at the root, where the replaced services had it."""

    access = {"POST": [IsAuthenticated]}

    @extend_schema(request=PlacedOrderShape, responses=answers(201, OrderShape, *NO_SALE))
    def post(self, request: Request) -> HttpResponse:
        """Check out and confirm in one request. User, stock, unit prices and totals must be right.

        If you may not confirm orders, the order stays `pending`: its stock is held, not promised.
        """
        given = self.body(PlacedOrderShape)
        buyer_id = _buyer_id(request, given["user_id"])
        wishes = [checkout.Wish(line["product_id"], line["quantity"], line["unit_price"]) for line in given["items"]]
        place = lifecycle.place_order if may_confirm(request) else checkout.checkout
        return self.command(
            lambda: place(user_id=buyer_id, wishes=wishes, caller=caller_of(request), now=timezone.now()),
            shape=OrderShape,
            status=201,
        )


class OrderView(ApiView):
    access = {"GET": [IsAuthenticated]}

    @extend_schema(responses=answers(200, OrderShape, "order_not_found"))
    def get(self, request: Request, order_id: UUID) -> HttpResponse:
        """Show one order."""
        return self.answer(listing.get_order(order_id, caller=caller_of(request)), OrderShape)


class OrderConfirmView(ApiView):
    access = {"POST": [IsAuthenticated, MayConfirm]}

    @extend_schema(
        request=ConfirmShape,
        responses=answers(
            200,
            OrderShape,
            "permission_denied",
            "order_not_found",
            "invalid_transition",
            "price_changed",
            "hold_limit_reached",
            "insufficient_stock",
        ),
    )
    def post(self, request: Request, order_id: UUID) -> HttpResponse:
        """Confirm a pending order: its units are promised without a deadline. Repeating it is harmless.

        An expired order can still be confirmed for LATE_CONFIRM_SECONDS, while there is stock and every product is on
        sale at an unchanged price.
        """
        given = self.body(ConfirmShape)
        everybody = knows_payments(request)
        if given["payment_reference"] and not everybody:
            raise PermissionDenied("Only the shop says that an order is paid. Leave the payment reference out.")
        return self.command(
            lambda: lifecycle.confirm_order(
                order_id,
                caller=caller_of(request),
                now=timezone.now(),
                **given,
            ),
            shape=OrderShape,
            may_see=lambda kept: listing.get_order(order_id, caller=caller_of(request), permission=listing.CONFIRM),
        )


class OrderCancelView(ApiView):
    access = {"POST": [IsAuthenticated]}

    @extend_schema(request=CancelShape, responses=answers(200, OrderShape, "order_not_found", "invalid_transition"))
    def post(self, request: Request, order_id: UUID) -> HttpResponse:
        """Cancel the units that are not shipped and release their stock. Only staff can cancel an expired order."""
        given = self.body(CancelShape)
        return self.command(
            lambda: lifecycle.cancel_order(order_id, caller=caller_of(request), now=timezone.now(), **given),
            shape=OrderShape,
            may_see=lambda kept: listing.get_order(order_id, caller=caller_of(request), permission=listing.CHANGE),
        )


class OrderFulfillView(ApiView):
    access = {"POST": [staff_with("orders.change_order")]}

    @extend_schema(
        request=FulfillShape,
        responses=answers(
            200,
            OrderShape,
            "permission_denied",
            "order_not_found",
            "invalid_transition",
            "insufficient_stock",
            "stock_promised",
        ),
    )
    def post(self, request: Request, order_id: UUID) -> HttpResponse:
        """Ship the named units, or all open ones."""
        given = self.body(FulfillShape)
        if given["out_of_turn"]:
            require(request, "inventory.ship_out_of_turn", "You may not ship before older promises.")
        items = _units(given) if "items" in given else None
        return self.command(
            lambda: lifecycle.fulfill_order(
                order_id,
                items=items,
                out_of_turn=given["out_of_turn"],
                caller=caller_of(request),
                now=timezone.now(),
            ),
            shape=OrderShape,
        )


class OrderReturnView(ApiView):
    access = {"POST": [staff_with("orders.change_order")]}

    @extend_schema(request=ReturnShape, responses=answers(200, OrderShape, "order_not_found", "invalid_transition"))
    def post(self, request: Request, order_id: UUID) -> HttpResponse:
        """Take back shipped units, for sale or as unavailable."""
        given = self.body(ReturnShape)
        given["items"] = _units(given)
        return self.command(
            lambda: lifecycle.return_items(order_id, **given, caller=caller_of(request), now=timezone.now()),
            shape=OrderShape,
        )


def _units(given: dict[str, Any]) -> list[inventory.Demand]:
    return [inventory.Demand(**line) for line in given["items"]]


def _buyer_id(request: Request, user_id: int | None) -> int:
    """Return whose order it will be: one's own, unless staff who may add orders name somebody else."""
    own_id = caller_of(request).id
    if user_id is None or user_id == own_id:
        return own_id
    require(request, "orders.add_order", "You may not order for somebody else.")
    return user_id
