from collections.abc import Sequence

from django.db import transaction

from inventory import models, sql
from inventory.services._facts import ItemNotFound, Level, LevelOutOfRange
from inventory.services._warehouses import warehouse_ids


@transaction.atomic(savepoint=False)
def receive(*, product_id: int, levels: Sequence[Level], actor_id: int | None, reference: str, note: str) -> None:
    """Add units that arrived to one product's stock, warehouse by warehouse, all or none.

    Levels of one warehouse are summed; a level of 0 only opens the stock row. Raises WarehouseNotFound,
    ItemNotFound, LevelOutOfRange.
    """
    ids = warehouse_ids({level.warehouse for level in levels})
    units: dict[tuple[int, int], int] = {}
    for level in levels:
        key = (product_id, ids[level.warehouse])
        units[key] = units.get(key, 0) + level.quantity
    if not models.Item.objects.filter(pk=product_id).exists():
        raise ItemNotFound([product_id])
    models.Stock.objects.bulk_create(
        [models.Stock(product_id=product_id, warehouse_id=warehouse_id) for product_id, warehouse_id in sorted(units)],
        ignore_conflicts=True,
    )
    before = sql.lock_levels(units)
    if any(before[key] + quantity > models.MAX_LEVEL for key, quantity in units.items()):
        raise LevelOutOfRange(models.MAX_LEVEL)
    sql.post_movements(
        [sql.Change(*key, on_hand_delta=quantity) for key, quantity in sorted(units.items()) if quantity],
        kind=models.Kind.RECEIVE,
        reason=models.Reason.RECEIVED,
        reference=reference,
        actor_id=actor_id,
        note=note,
    )
