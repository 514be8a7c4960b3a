"""Creates items for new products, and copies changed labels to them."""

from collections.abc import Sequence

from django.db import transaction

from inventory.stock import models
from inventory.stock.items import Item, ItemNotFound, Labels, get_item
from inventory.stock.ledger import Level, receive
from shop.toolkit.callers import SYSTEM, Caller
from shop.toolkit.skus import sku_key


@transaction.atomic(savepoint=False)
def provision_item(*, product_id: int, sku: str, name: str, initial_stock: Sequence[Level], caller: Caller) -> Item:
    """Create the inventory item of a new product and receive its initial stock, or neither.

    Raises WarehouseNotFound, LevelOutOfRange; IntegrityError when the product already has an item, a bug of the caller.
    """
    models.Item(product_id=product_id, sku=sku, sku_key=sku_key(sku), name=name).save(force_insert=True)
    if initial_stock:
        receive(product_id=product_id, levels=initial_stock, caller=caller, reference="", note="initial stock")
    return get_item(product_id, caller=SYSTEM)


@transaction.atomic(savepoint=False)
def provision_items(labels: Sequence[Labels]) -> None:
    """Create the inventory items of new products, without stock, in one statement.

    Raises IntegrityError when a product already has an item, a bug of the caller.
    """
    models.Item.objects.bulk_create([_item(label) for label in labels])


@transaction.atomic(savepoint=False)
def relabel_items(labels: Sequence[Labels]) -> None:
    """Copy the new labels of products to their items, in one statement."""
    models.Item.objects.bulk_update([_item(label) for label in labels], ["sku", "sku_key", "name", "is_active"])


def _item(label: Labels) -> models.Item:
    return models.Item(
        product_id=label.product_id,
        sku=label.sku,
        sku_key=sku_key(label.sku),
        name=label.name,
        is_active=label.is_active,
    )


@transaction.atomic(savepoint=False)
def relabel_item(*, product_id: int, sku: str, name: str, is_active: bool) -> None:
    """Copy a product's new labels to its item; `check` then treats an inactive one as off sale. Raises ItemNotFound."""
    labels = {"sku": sku, "sku_key": sku_key(sku), "name": name, "is_active": is_active}
    if not models.Item.objects.filter(pk=product_id).update(**labels):
        raise ItemNotFound([product_id])
