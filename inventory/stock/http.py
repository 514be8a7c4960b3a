from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, cast

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request

from inventory.stock import allocation, claims, history, items, ledger, scopes, warehouses
from inventory.stock.shapes import (
    AdjustmentShape,
    DemandedShape,
    ExplanationShape,
    ItemDetailShape,
    ItemListQuery,
    ItemQuery,
    ItemShape,
    MovementListQuery,
    MovementShape,
    NewWarehouseShape,
    PolicyShape,
    PostedMovementsShape,
    StockShape,
    TransferShape,
    WarehouseChangeShape,
    WarehouseShape,
)
from shop.toolkit.http.permissions import caller_of, staff_with
from shop.toolkit.http.schema import answers, paged
from shop.toolkit.http.shapes import PageQuery
from shop.toolkit.http.views import ApiView
from shop.toolkit.ids import new_id


class UpdateStockView(ApiView):
    """Served at the root, where the replaced services had it."""

    access = {"POST": [staff_with("inventory.change_stock")]}

    @extend_schema(
        request=DemandedShape,
        responses=answers(200, PostedMovementsShape, "item_not_found", "warehouse_not_found", "insufficient_stock"),
    )
    def post(self, request: Request) -> HttpResponse:
        """Remove sold units, by the priority of the warehouses."""
        given = self.body(DemandedShape)
        return self.command(
            lambda: {"movements": ledger.sell(**given, note="", reference="", caller=caller_of(request))},
            shape=PostedMovementsShape,
            may_see=lambda kept: see_sale(request, kept),
        )


class ItemListView(ApiView):
    access = {"GET": [staff_with("inventory.view_item")]}
    query_shapes = {"GET": ItemListQuery}

    @extend_schema(parameters=[ItemListQuery], responses=answers(200, paged(ItemShape)))
    def get(self, request: Request) -> HttpResponse:
        """List inventory items with their totals over all warehouses."""
        return self.page(items.list_items(**self.parameters, caller=caller_of(request)), ItemShape)


class ItemView(ApiView):
    access = {"GET": [staff_with("inventory.view_item")]}
    query_shapes = {"GET": ItemQuery}

    @extend_schema(parameters=[ItemQuery], responses=answers(200, ItemDetailShape, "item_not_found"))
    def get(self, request: Request, product_id: int) -> HttpResponse:
        """Get the inventory of one product with its stock per warehouse, now or as of a past moment."""
        viewer = caller_of(request)
        if at := self.parameters.get("as_of"):
            return self.answer(history.item_as_of(product_id, at, caller=viewer), ItemDetailShape)
        return self.answer(items.get_item(product_id, caller=viewer), ItemDetailShape)


class ExplanationView(ApiView):
    access = {"GET": [staff_with("inventory.view_item")]}

    @extend_schema(responses=answers(200, ExplanationShape, "item_not_found"))
    def get(self, request: Request, product_id: int) -> HttpResponse:
        """Explain what the stock is promised to: each hold with its deadline, and each order."""
        return self.answer(claims.explain(product_id, caller=caller_of(request)), ExplanationShape)


class MovementListView(ApiView):
    access = {"GET": [staff_with("inventory.view_movement")]}
    query_shapes = {"GET": MovementListQuery}

    @extend_schema(parameters=[MovementListQuery], responses=answers(200, paged(MovementShape), "item_not_found"))
    def get(self, request: Request, product_id: int) -> HttpResponse:
        """List the ledger of one product, newest first."""
        found = history.list_movements(product_id, **self.parameters, caller=caller_of(request))
        return self.page(found, MovementShape)


class StockView(ApiView):
    access = {"PATCH": [staff_with("inventory.change_stock")], "DELETE": [staff_with("inventory.change_stock")]}

    @extend_schema(
        request=PolicyShape,
        responses=answers(200, StockShape, "item_not_found", "warehouse_not_found", "stock_promised"),
    )
    def patch(self, request: Request, product_id: int, warehouse: str) -> HttpResponse:
        """Change the safety stock, reorder point or backorder limit of a product in a warehouse."""
        given = cast("ledger.PolicyChange", self.body(PolicyShape))
        return self.command(
            lambda: ledger.set_policy(
                product_id=product_id, warehouse=warehouse, changes=given, caller=caller_of(request)
            ),
            shape=StockShape,
            may_see=lambda kept: see_warehouses(request, [warehouse]),
        )

    @extend_schema(responses=answers(204, None, "item_not_found", "warehouse_not_found", "stock_in_use"))
    def delete(self, request: Request, product_id: int, warehouse: str) -> HttpResponse:
        """Remove a product without units or promises from a warehouse. Its ledger stays."""
        return self.command(
            lambda: ledger.remove_stock(product_id=product_id, warehouse=warehouse, caller=caller_of(request)),
            may_see=lambda kept: see_warehouses(request, [warehouse]),
        )


ADJUSTMENTS: dict[str, Callable[..., history.Movement]] = {
    "adjust": ledger.adjust,
    "set": ledger.set_on_hand,
    "unavailable": ledger.set_apart,
    "discard": ledger.discard,
}


class AdjustmentView(ApiView):
    access = {"POST": [staff_with("inventory.change_stock")]}

    @extend_schema(
        request=AdjustmentShape,
        responses=answers(
            201,
            MovementShape,
            "item_not_found",
            "warehouse_not_found",
            "insufficient_stock",
            "stock_promised",
            "stale_quantity",
        ),
    )
    def post(self, request: Request, product_id: int) -> HttpResponse:
        """Adjust the units on hand, or set them by compare-and-set."""
        given = {**self.body(AdjustmentShape), "product_id": product_id, "caller": caller_of(request)}
        step = ADJUSTMENTS[given.pop("mode")]
        if step in (ledger.adjust, ledger.set_apart):
            given["delta"] = given.pop("quantity")
        return self.command(
            lambda: step(**given),
            shape=MovementShape,
            status=201,
            may_see=lambda kept: see_warehouses(request, [given["warehouse"]]),
        )


class TransferView(ApiView):
    access = {"POST": [staff_with("inventory.change_stock")]}

    @extend_schema(
        request=TransferShape,
        responses=answers(
            201, PostedMovementsShape, "item_not_found", "warehouse_not_found", "insufficient_stock", "stock_promised"
        ),
    )
    def post(self, request: Request) -> HttpResponse:
        """Move units between two warehouses. Both sides change, or neither."""
        given = self.body(TransferShape)
        given["items"] = demand(given)
        return self.command(
            lambda: {"movements": ledger.transfer(transfer_id=new_id(), **given, caller=caller_of(request))},
            shape=PostedMovementsShape,
            status=201,
            may_see=lambda kept: see_warehouses(request, [given["from_warehouse"], given["to_warehouse"]]),
        )


class WarehouseListView(ApiView):
    access = {"GET": [staff_with("inventory.view_warehouse")], "POST": [staff_with("inventory.add_warehouse")]}
    query_shapes = {"GET": PageQuery}

    @extend_schema(parameters=[PageQuery], responses=answers(200, paged(WarehouseShape)))
    def get(self, request: Request) -> HttpResponse:
        """List warehouses in the order in which orders are allocated."""
        return self.page(warehouses.list_warehouses(**self.parameters, caller=caller_of(request)), WarehouseShape)

    @extend_schema(
        request=NewWarehouseShape,
        responses=answers(201, WarehouseShape, "permission_denied", "warehouse_exists", "warehouse_not_found"),
    )
    def post(self, request: Request) -> HttpResponse:
        """Create a warehouse."""
        given = self.body(NewWarehouseShape)
        return self.command(
            lambda: warehouses.create_warehouse(**given, caller=caller_of(request)),
            shape=WarehouseShape,
            status=201,
            may_see=lambda kept: see_warehouses(request, [given["code"]]),
        )


class WarehouseView(ApiView):
    access = {
        "GET": [staff_with("inventory.view_warehouse")],
        "PATCH": [staff_with("inventory.change_warehouse")],
        "DELETE": [staff_with("inventory.delete_warehouse")],
    }

    @extend_schema(responses=answers(200, WarehouseShape, "warehouse_not_found"))
    def get(self, request: Request, code: str) -> HttpResponse:
        """Show one warehouse."""
        return self.answer(warehouses.get_warehouse(code, caller=caller_of(request)), WarehouseShape)

    @extend_schema(request=WarehouseChangeShape, responses=answers(200, WarehouseShape, "warehouse_not_found"))
    def patch(self, request: Request, code: str) -> HttpResponse:
        """Change a warehouse's name, priority or whether it is active."""
        given = self.body(WarehouseChangeShape)
        change = partial(warehouses.update_warehouse, code, **given, caller=caller_of(request))
        return self.command(change, shape=WarehouseShape, may_see=lambda kept: see_warehouses(request, [code]))

    @extend_schema(responses=answers(204, None, "warehouse_not_found", "warehouse_in_use"))
    def delete(self, request: Request, code: str) -> HttpResponse:
        """Delete a warehouse that never held anything."""
        return self.command(
            lambda: warehouses.delete_warehouse(code, caller=caller_of(request)),
            may_see=lambda kept: see_warehouses(request, [code]),
        )


def see_sale(request: Request, kept: dict[str, Any]) -> None:
    """Refuse a caller who may not see the warehouses of a kept sale. Raises WarehouseNotFound, PermissionDenied."""
    see_shortages(request, kept)
    see_warehouses(request, [row["warehouse"] for row in kept.get("movements", [])])


def see_shortages(request: Request, kept: dict[str, Any]) -> None:
    """Refuse a kept refusal to a caller who works in some warehouses only: its numbers may be those of all.

    Raises PermissionDenied.
    """
    if kept.get("shortages") and not scopes.scope_of(caller_of(request)).everywhere:
        raise PermissionDenied("This answer was kept before your warehouses changed. Take a new key and ask again.")


def see_warehouses(request: Request, codes: Iterable[str]) -> None:
    """Refuse a caller who does not see all of these warehouses. Raises WarehouseNotFound."""
    for code in set(codes):
        warehouses.get_warehouse(code, caller=caller_of(request))


def demand(given: dict[str, Any]) -> list[allocation.Demand]:
    return [allocation.Demand(**line) for line in given["items"]]
