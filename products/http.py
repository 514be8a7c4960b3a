from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.permissions import AllowAny
from rest_framework.request import Request

from inventory import services as inventory
from products import catalogue
from products.shapes import CreatedProductShape, NewProductShape, ProductChangeShape, ProductListQuery, ProductShape
from shop.toolkit.http.permissions import caller_of, is_staff_with, require, staff_with
from shop.toolkit.http.schema import answers, paged
from shop.toolkit.http.views import ApiView

VIEW_ARCHIVED = "products.view_product"


class ProductListView(ApiView):
    access = {"GET": [AllowAny], "POST": [staff_with("products.add_product")]}
    query_shapes = {"GET": ProductListQuery}

    @extend_schema(parameters=[ProductListQuery], responses=answers(200, paged(ProductShape)))
    def get(self, request: Request) -> HttpResponse:
        """List products on sale. With the permission to view products, list archived ones too."""
        page = catalogue.list_products(**self.parameters, with_archived=is_staff_with(request, VIEW_ARCHIVED))
        return self.page(page, ProductShape)

    @extend_schema(
        request=NewProductShape,
        responses=answers(201, CreatedProductShape, "permission_denied", "warehouse_not_found", "sku_exists"),
    )
    def post(self, request: Request) -> HttpResponse:
        """Create a product with its inventory item and its initial stock, or nothing."""
        given = self.body(NewProductShape)
        if given["initial_stock"]:
            require(request, "inventory.change_stock", "You may not change stock. Leave initial_stock out.")
        given["initial_stock"] = [inventory.Level(**level) for level in given["initial_stock"]]
        return self.command(
            lambda: catalogue.create_product(**given, caller=caller_of(request)),
            shape=CreatedProductShape,
            status=201,
            may_see=lambda kept: _see_stock(request, kept.get("inventory")),
        )


class ProductView(ApiView):
    access = {
        "GET": [AllowAny],
        "PATCH": [staff_with("products.change_product")],
        "DELETE": [staff_with("products.delete_product")],
    }

    @extend_schema(responses=answers(200, ProductShape, "product_not_found"))
    def get(self, request: Request, product_id: int) -> HttpResponse:
        """Show one product."""
        return self.answer(
            catalogue.get_product(product_id, with_archived=is_staff_with(request, VIEW_ARCHIVED)), ProductShape
        )

    @extend_schema(request=ProductChangeShape, responses=answers(200, ProductShape, "product_not_found", "sku_exists"))
    def patch(self, request: Request, product_id: int) -> HttpResponse:
        """Change a product. Orders keep the name and price at which they were placed."""
        given = self.body(ProductChangeShape)
        return self.command(lambda: catalogue.update_product(product_id, **given), shape=ProductShape)

    @extend_schema(responses=answers(204, None, "product_not_found"))
    def delete(self, request: Request, product_id: int) -> HttpResponse:
        """Archive a product: it is no longer sold. Its stock and history stay."""
        return self.command(lambda: catalogue.archive_product(product_id))


def _see_stock(request: Request, item: Any) -> None:
    """Refuse a caller who does not see the warehouses of a kept answer's stock. Raises inventory.WarehouseNotFound."""
    for stock in item["stocks"] if item else ():
        inventory.get_warehouse(stock["warehouse"], caller=caller_of(request))
