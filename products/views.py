from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.permissions import AllowAny
from rest_framework.request import Request

from inventory import services as inventory
from products import services as products
from products.serializers import (
    CreatedProductShape,
    NewProductShape,
    ProductChangeShape,
    ProductListQuery,
    ProductShape,
)
from shop.toolkit.permissions import caller_id, staff_with
from shop.toolkit.schema import answers, paged
from shop.toolkit.views import ApiView


class ProductListView(ApiView):
    access = {"GET": [AllowAny], "POST": [staff_with("products.add_product")]}
    query_shapes = {"GET": ProductListQuery}

    @extend_schema(parameters=[ProductListQuery], responses=answers(200, paged(ProductShape)))
    def get(self, request: Request) -> HttpResponse:
        """List products: those on sale; staff see archived ones too."""
        page = products.list_products(**self.parameters, with_archived=request.user.is_staff)
        return self.page(page, ProductShape)

    @extend_schema(
        request=NewProductShape, responses=answers(201, CreatedProductShape, "warehouse_not_found", "sku_exists")
    )
    def post(self, request: Request) -> HttpResponse:
        """Create a product, its inventory item and its initial stock, or nothing."""
        given = self.body(NewProductShape)
        given["initial_stock"] = [inventory.Level(**level) for level in given["initial_stock"]]
        return self.command(
            lambda: products.create_product(**given, actor_id=caller_id(request)), shape=CreatedProductShape, status=201
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
        return self.answer(products.get_product(product_id, with_archived=request.user.is_staff), ProductShape)

    @extend_schema(request=ProductChangeShape, responses=answers(200, ProductShape, "product_not_found", "sku_exists"))
    def patch(self, request: Request, product_id: int) -> HttpResponse:
        """Change a product. Orders keep the name and price that their buyers saw."""
        given = self.body(ProductChangeShape)
        return self.command(lambda: products.update_product(product_id, **given), shape=ProductShape)

    @extend_schema(responses=answers(204, None, "product_not_found"))
    def delete(self, request: Request, product_id: int) -> HttpResponse:
        """Archive a product: it is no longer sold, and nothing is lost."""
        return self.command(lambda: products.archive_product(product_id))
