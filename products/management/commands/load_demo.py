from decimal import Decimal
from typing import Any

from django.core.management.base import BaseCommand

from inventory import services as inventory
from products import catalogue
from shop.toolkit.callers import SYSTEM
from shop.toolkit.db import transactions
from shop.toolkit.db.pages import PageRequest

# SKU, name, price in EUR, units in MAIN and in EAST
CATALOGUE = [
    ("MUG-BLUE", "Blue mug", "9.90", 48, 12),
    ("MUG-WHITE", "White mug", "8.90", 30, 0),
    ("TEAPOT", "Cast-iron teapot", "39.00", 7, 3),
    ("KETTLE", "Whistling kettle", "34.50", 12, 0),
    ("TRAY-OAK", "Oak tray", "24.00", 20, 5),
    ("SPOON-6", "Six teaspoons", "14.90", 60, 60),
    ("TEA-EARL", "Earl Grey, 100 g", "6.50", 200, 80),
    ("TEA-SENCHA", "Sencha, 100 g", "8.20", 120, 40),
    ("TEA-MINT", "Peppermint, 80 g", "4.90", 0, 25),
    ("HONEY", "Heather honey, 250 g", "7.40", 33, 0),
    ("TOWEL", "Linen tea towel", "11.00", 3, 2),
    ("GIFT-BOX", "Gift box", "3.50", 0, 0),
]


class Command(BaseCommand):
    """Load a small catalogue with stock in two warehouses. Does nothing if the database has any product."""

    help = __doc__

    def handle(self, *args: Any, **options: Any) -> None:
        if catalogue.list_products(page=PageRequest(size=1), with_archived=True).results:
            self.stdout.write("The catalogue already has products. Nothing was loaded.")
            return
        transactions.run(_load)
        self.stdout.write(f"Loaded {len(CATALOGUE)} products with stock in the warehouses MAIN and EAST.")


REORDER_POINTS = {"TOWEL": 5, "GIFT-BOX": 0}  # both are low


def _load() -> None:
    inventory.create_warehouse(code="EAST", name="East warehouse", priority=200, is_active=True, caller=SYSTEM)
    for sku, name, price, in_main, in_east in CATALOGUE:
        product = catalogue.create_product(
            sku=sku,
            name=name,
            description="",
            price=Decimal(price),
            currency="EUR",
            initial_stock=[
                inventory.Level(code, units) for code, units in (("MAIN", in_main), ("EAST", in_east)) if units
            ],
            caller=SYSTEM,
        )
        if sku in REORDER_POINTS:
            point: inventory.PolicyChange = {"reorder_point": REORDER_POINTS[sku]}
            inventory.set_policy(product_id=product.id, warehouse="MAIN", changes=point, caller=SYSTEM)
