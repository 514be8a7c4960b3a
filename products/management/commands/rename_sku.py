from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from products import catalogue
from shop.toolkit.db import transactions
from shop.toolkit.refusals import Refusal


class Command(BaseCommand):
    """Change the SKU of a product. Its stock and ledger stay; existing orders keep the old SKU.

    Refuses a SKU that another product has, ignoring case, and one with invisible characters.
    """

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("product_id", type=int, help="the product's id, as shown by the API and by `migrate`")
        parser.add_argument("sku", help="the new SKU, 1 to 64 characters")

    def handle(self, *args: Any, product_id: int, sku: str, **options: Any) -> None:
        try:
            renamed = transactions.run(lambda: catalogue.update_product(product_id, sku=sku))
        except catalogue.ProductNotFound as refusal:
            raise CommandError(f"There is no product {product_id}.") from refusal
        except Refusal as refusal:
            raise CommandError(str(refusal)) from refusal
        self.stdout.write(f"Product {product_id} now has the SKU {renamed.sku}.")
