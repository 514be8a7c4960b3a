from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.permissions import AllowAny
from rest_framework.request import Request

from inventory.reservations import availability, fulfillment, holds, listing
from inventory.reservations.shapes import (
    AvailabilityShape,
    BulkAvailabilityShape,
    BulkCheckShape,
    CheckQuery,
    ExtendShape,
    FulfillPartShape,
    NewReservationShape,
    PartShape,
    PreviewRequestShape,
    PreviewShape,
    ReservationListQuery,
    ReservationShape,
)
from inventory.stock import allocation
from inventory.stock.http import demand, see_shortages, see_warehouses
from inventory.stock.shapes import DemandedShape
from shop.toolkit.http.permissions import caller_of, require, staff_with
from shop.toolkit.http.schema import answers, paged
from shop.toolkit.http.shapes import EmptyShape
from shop.toolkit.http.views import ApiView
from shop.toolkit.ids import new_id


class CheckView(ApiView):
    keeps_answers = False
    access = {"GET": [AllowAny], "POST": [AllowAny]}
    query_shapes = {"GET": CheckQuery}

    @extend_schema(parameters=[CheckQuery], responses=answers(200, AvailabilityShape, "item_not_found"))
    def get(self, request: Request) -> HttpResponse:
        """Check inventory availability of one product."""
        return self.answer(availability.check_one(allocation.Demand(**self.parameters)), AvailabilityShape)

    @extend_schema(request=BulkCheckShape, responses=answers(200, BulkAvailabilityShape))
    def post(self, request: Request) -> HttpResponse:
        """Check many products at once, as one demand. A product that is not on sale gets its own answer."""
        found = availability.check([allocation.Demand(**line) for line in self.body(BulkCheckShape)["items"]])
        return self.answer({"available": all(line.available for line in found), "items": found}, BulkAvailabilityShape)


class CheckStockView(ApiView):
    """Served at the root, where the replaced services had it."""

    access = {"POST": [AllowAny]}
    keeps_answers = False

    @extend_schema(request=DemandedShape, responses=answers(200, AvailabilityShape, "item_not_found"))
    def post(self, request: Request) -> HttpResponse:
        """Check the stock of one product."""
        return self.answer(availability.check_one(allocation.Demand(**self.body(DemandedShape))), AvailabilityShape)


class PreviewView(ApiView):
    keeps_answers = False
    access = {"POST": [staff_with("inventory.view_item")]}

    @extend_schema(request=PreviewRequestShape, responses=answers(200, PreviewShape, "item_not_found"))
    def post(self, request: Request) -> HttpResponse:
        """Show how a demand would be split over the warehouses, and what is short. Writes nothing."""
        asked = demand(self.body(PreviewRequestShape))
        return self.answer(availability.preview(asked, caller=caller_of(request)), PreviewShape)


OWNER = "api"  # of the reservations that these endpoints make, and the only ones that they change


class ReservationListView(ApiView):
    access = {"GET": [staff_with("inventory.view_reservation")], "POST": [staff_with("inventory.add_reservation")]}
    query_shapes = {"GET": ReservationListQuery}

    @extend_schema(parameters=[ReservationListQuery], responses=answers(200, paged(ReservationShape)))
    def get(self, request: Request) -> HttpResponse:
        """List reservations, newest first."""
        return self.page(listing.list_reservations(**self.parameters, caller=caller_of(request)), ReservationShape)

    @extend_schema(
        request=NewReservationShape,
        responses=answers(
            201, ReservationShape, "item_not_found", "insufficient_stock", "reference_in_use", "warehouse_not_found"
        ),
    )
    def post(self, request: Request) -> HttpResponse:
        """Hold stock for a reference from outside this shop."""
        given = self.body(NewReservationShape)
        return self.command(
            lambda: holds.reserve_on_sale(
                reservation_id=new_id(),
                owner=OWNER,
                reference=given["reference"],
                demand=demand(given),
                ttl=timedelta(seconds=given.get("ttl_seconds", settings.RESERVATION_TTL_SECONDS)),
                caller=caller_of(request),
            ),
            shape=ReservationShape,
            status=201,
            may_see=lambda kept: see_lines(request, kept),
        )


class ReservationView(ApiView):
    access = {"GET": [staff_with("inventory.view_reservation")]}

    @extend_schema(responses=answers(200, ReservationShape, "reservation_not_found"))
    def get(self, request: Request, reservation_id: UUID) -> HttpResponse:
        """Show one reservation."""
        found = listing.get_reservation(reservation_id, caller=caller_of(request))
        return self.answer(found, ReservationShape)


class _StepView(ApiView):
    """A step of a reservation that these endpoints made."""

    access = {"POST": [staff_with("inventory.change_reservation")]}

    def step(self, work: Callable[[], listing.Reservation], reservation_id: UUID) -> HttpResponse:
        """Answer with the reservation after the step, as far as the caller sees it."""
        return self.command(
            work,
            shape=ReservationShape,
            may_see=lambda kept: see_lines(self.request, kept, reservation_id),
        )


class ReservationConfirmView(_StepView):
    @extend_schema(
        request=EmptyShape,
        responses=answers(
            200,
            ReservationShape,
            "reservation_not_found",
            "warehouse_not_found",
            "reservation_owned",
            "invalid_transition",
        ),
    )
    def post(self, request: Request, reservation_id: UUID) -> HttpResponse:
        """Confirm a hold: its units are promised without a deadline."""
        self.body(EmptyShape)
        return self.step(
            lambda: holds.confirm(reservation_id, owner=OWNER, caller=caller_of(request)),
            reservation_id,
        )


class ReservationFulfillView(_StepView):
    @extend_schema(
        request=FulfillPartShape,
        responses=answers(
            200,
            ReservationShape,
            "permission_denied",
            "reservation_not_found",
            "warehouse_not_found",
            "reservation_owned",
            "invalid_transition",
            "insufficient_stock",
            "stock_promised",
        ),
    )
    def post(self, request: Request, reservation_id: UUID) -> HttpResponse:
        """Ship the named units of a confirmed reservation, or all open ones."""
        given = self.body(FulfillPartShape)
        if given["out_of_turn"]:
            require(request, "inventory.ship_out_of_turn", "You may not ship before older promises.")
        items = demand(given) if "items" in given else None
        return self.step(
            lambda: fulfillment.fulfill(
                reservation_id,
                owner=OWNER,
                items=items,
                caller=caller_of(request),
                out_of_turn=given["out_of_turn"],
            ),
            reservation_id,
        )


class ReservationReleaseView(_StepView):
    @extend_schema(
        request=PartShape,
        responses=answers(
            200,
            ReservationShape,
            "reservation_not_found",
            "warehouse_not_found",
            "reservation_owned",
            "invalid_transition",
        ),
    )
    def post(self, request: Request, reservation_id: UUID) -> HttpResponse:
        """Release the named units, or all open ones."""
        given = self.body(PartShape)
        items = demand(given) if "items" in given else None
        return self.step(
            lambda: holds.release(reservation_id, owner=OWNER, items=items, caller=caller_of(request)),
            reservation_id,
        )


class ReservationExtendView(_StepView):
    @extend_schema(
        request=ExtendShape,
        responses=answers(
            200,
            ReservationShape,
            "reservation_not_found",
            "warehouse_not_found",
            "reservation_owned",
            "invalid_transition",
            "hold_limit_reached",
        ),
    )
    def post(self, request: Request, reservation_id: UUID) -> HttpResponse:
        """Extend a hold, at most to the maximum age of a hold."""
        given = self.body(ExtendShape)
        ttl = timedelta(seconds=given["ttl_seconds"]) if "ttl_seconds" in given else None
        return self.step(
            lambda: holds.extend(
                reservation_id,
                owner=OWNER,
                ttl=ttl,
                usual=timedelta(seconds=settings.RESERVATION_TTL_SECONDS),
                max_age=timedelta(seconds=settings.RESERVATION_MAX_AGE_SECONDS),
                caller=caller_of(request),
            ),
            reservation_id,
        )


def see_lines(request: Request, kept: dict[str, Any], reservation_id: UUID | None = None) -> None:
    """Refuse a caller who does not see the reservation, or not all the warehouses of its lines, in a kept answer.

    Raises ReservationNotFound, WarehouseNotFound, PermissionDenied.
    """
    if reservation_id is not None:
        listing.get_reservation(reservation_id, caller=caller_of(request))
    see_shortages(request, kept)
    see_warehouses(request, [line["warehouse"] for line in kept.get("lines", [])])
