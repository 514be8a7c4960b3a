from drf_spectacular.utils import extend_schema
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from inventory import services as inventory
from inventory.serializers import (
    AvailabilityShape,
    BulkAvailabilityShape,
    BulkCheckShape,
    CheckQuery,
    ItemDetailShape,
    ItemListQuery,
    ItemShape,
    NewWarehouseShape,
    WarehouseChangeShape,
    WarehouseShape,
)
from shop.toolkit.permissions import IsStaff, staff_with
from shop.toolkit.schema import answers, paged
from shop.toolkit.shapes import PageQuery
from shop.toolkit.views import ApiView


class CheckView(ApiView):
    access = {"GET": [AllowAny], "POST": [AllowAny]}
    query_shapes = {"GET": CheckQuery}

    @extend_schema(parameters=[CheckQuery], responses=answers(200, AvailabilityShape, 400, 404))
    def get(self, request: Request) -> Response:
        """Check inventory availability of one product."""
        (availability,) = inventory.check([inventory.Demand(**self.parameters)])
        return Response(AvailabilityShape(availability).data)

    @extend_schema(request=BulkCheckShape, responses=answers(200, BulkAvailabilityShape, 400, 404))
    def post(self, request: Request) -> Response:
        """Check many products at once, as one demand."""
        found = inventory.check([inventory.Demand(**line) for line in self.body(BulkCheckShape)["items"]])
        return Response(
            BulkAvailabilityShape({"available": all(line.available for line in found), "items": found}).data
        )


class ItemListView(ApiView):
    access = {"GET": [IsStaff]}
    query_shapes = {"GET": ItemListQuery}

    @extend_schema(parameters=[ItemListQuery], responses=answers(200, paged(ItemShape), 400, 401, 403))
    def get(self, request: Request) -> Response:
        """List inventory items with their totals over all warehouses."""
        return self.page(inventory.list_items(**self.parameters), ItemShape)


class ItemView(ApiView):
    access = {"GET": [IsStaff]}

    @extend_schema(responses=answers(200, ItemDetailShape, 401, 403, 404))
    def get(self, request: Request, product_id: int) -> Response:
        """Get the inventory of one product, with its stock per warehouse."""
        return Response(ItemDetailShape(inventory.get_item(product_id)).data)


class WarehouseListView(ApiView):
    access = {"GET": [IsStaff], "POST": [staff_with("inventory.add_warehouse")]}
    query_shapes = {"GET": PageQuery}

    @extend_schema(parameters=[PageQuery], responses=answers(200, paged(WarehouseShape), 400, 401, 403))
    def get(self, request: Request) -> Response:
        """List warehouses, the one that is served from first on top."""
        return self.page(inventory.list_warehouses(**self.parameters), WarehouseShape)

    @extend_schema(request=NewWarehouseShape, responses=answers(201, WarehouseShape, 400, 401, 403, 409))
    def post(self, request: Request) -> Response:
        """Create a warehouse."""
        given = self.body(NewWarehouseShape)
        return self.command(lambda: inventory.create_warehouse(**given), shape=WarehouseShape, status=201)


class WarehouseView(ApiView):
    access = {
        "GET": [IsStaff],
        "PATCH": [staff_with("inventory.change_warehouse")],
        "DELETE": [staff_with("inventory.delete_warehouse")],
    }

    @extend_schema(responses=answers(200, WarehouseShape, 401, 403, 404))
    def get(self, request: Request, code: str) -> Response:
        """Show one warehouse."""
        return Response(WarehouseShape(inventory.get_warehouse(code)).data)

    @extend_schema(request=WarehouseChangeShape, responses=answers(200, WarehouseShape, 400, 401, 403, 404))
    def patch(self, request: Request, code: str) -> Response:
        """Change a warehouse's name, priority or whether it is active."""
        given = self.body(WarehouseChangeShape)
        return self.command(lambda: inventory.update_warehouse(code, **given), shape=WarehouseShape)

    @extend_schema(responses=answers(204, None, 401, 403, 404, 409))
    def delete(self, request: Request, code: str) -> Response:
        """Delete a warehouse that nothing refers to."""
        return self.command(lambda: inventory.delete_warehouse(code))
