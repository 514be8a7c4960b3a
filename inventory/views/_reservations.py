from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from inventory import services as inventory
from inventory.serializers import (
    ExtendShape,
    NewReservationShape,
    ReleaseShape,
    ReservationListQuery,
    ReservationShape,
)
from inventory.views._stock import demand
from shop.toolkit.ids import new_id
from shop.toolkit.permissions import IsStaff, caller_id, staff_with
from shop.toolkit.schema import answers, paged
from shop.toolkit.shapes import EmptyShape
from shop.toolkit.views import ApiView

OWNER = "api"  # of the reservations that these endpoints make, and the only ones that they change


class ReservationListView(ApiView):
    access = {"GET": [IsStaff], "POST": [staff_with("inventory.add_reservation")]}
    query_shapes = {"GET": ReservationListQuery}

    @extend_schema(parameters=[ReservationListQuery], responses=answers(200, paged(ReservationShape)))
    def get(self, request: Request) -> HttpResponse:
        """List reservations, newest first."""
        return self.page(inventory.list_reservations(**self.parameters), ReservationShape)

    @extend_schema(
        request=NewReservationShape,
        responses=answers(201, ReservationShape, "item_not_found", "insufficient_stock", "reference_in_use"),
    )
    def post(self, request: Request) -> HttpResponse:
        """Hold stock for a reference that is no order of this shop."""
        given = self.body(NewReservationShape)
        return self.command(
            lambda: inventory.reserve(
                reservation_id=new_id(),
                owner=OWNER,
                reference=given["reference"],
                demand=demand(given),
                ttl=_ttl(given),
                actor_id=caller_id(request),
            ),
            shape=ReservationShape,
            status=201,
        )


class ReservationView(ApiView):
    access = {"GET": [IsStaff]}

    @extend_schema(responses=answers(200, ReservationShape, "reservation_not_found"))
    def get(self, request: Request, reservation_id: UUID) -> HttpResponse:
        """Show one reservation."""
        return self.answer(inventory.get_reservation(reservation_id), ReservationShape)


class ReservationConfirmView(ApiView):
    access = {"POST": [staff_with("inventory.change_reservation")]}

    @extend_schema(
        request=EmptyShape,
        responses=answers(200, ReservationShape, "reservation_not_found", "reservation_owned", "invalid_transition"),
    )
    def post(self, request: Request, reservation_id: UUID) -> HttpResponse:
        """Promise what is held, without a deadline."""
        self.body(EmptyShape)
        return self.command(
            lambda: inventory.confirm(
                reservation_id, owner=OWNER, actor_id=caller_id(request), visible_to=caller_id(request)
            ),
            shape=ReservationShape,
        )


class ReservationReleaseView(ApiView):
    access = {"POST": [staff_with("inventory.change_reservation")]}

    @extend_schema(
        request=ReleaseShape,
        responses=answers(200, ReservationShape, "reservation_not_found", "reservation_owned", "invalid_transition"),
    )
    def post(self, request: Request, reservation_id: UUID) -> HttpResponse:
        """Give up the named units, or all that are open."""
        given = self.body(ReleaseShape)
        items = demand(given) if "items" in given else None
        return self.command(
            lambda: inventory.release(
                reservation_id, owner=OWNER, items=items, actor_id=caller_id(request), visible_to=caller_id(request)
            ),
            shape=ReservationShape,
        )


class ReservationExtendView(ApiView):
    access = {"POST": [staff_with("inventory.change_reservation")]}

    @extend_schema(
        request=ExtendShape,
        responses=answers(
            200,
            ReservationShape,
            "reservation_not_found",
            "reservation_owned",
            "invalid_transition",
            "hold_limit_reached",
        ),
    )
    def post(self, request: Request, reservation_id: UUID) -> HttpResponse:
        """Put the deadline of a hold off, within the greatest age that a hold may have."""
        ttl = _ttl(self.body(ExtendShape))
        max_age = timedelta(seconds=settings.RESERVATION_MAX_AGE_SECONDS)
        return self.command(
            lambda: inventory.extend(
                reservation_id, owner=OWNER, ttl=ttl, max_age=max_age, visible_to=caller_id(request)
            ),
            shape=ReservationShape,
        )


def _ttl(given: dict[str, Any]) -> timedelta:
    seconds = given.get("ttl_seconds", settings.RESERVATION_TTL_SECONDS)
    return timedelta(seconds=min(seconds, settings.RESERVATION_MAX_AGE_SECONDS))
