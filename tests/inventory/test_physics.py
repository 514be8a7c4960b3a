"""What is there is not what is promised: a backorder limit lets nothing leave that does not lie there."""

from functools import partial

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from inventory import services as inventory
from inventory.stock import ledger
from shop.toolkit.callers import SYSTEM
from shop.toolkit.db import transactions
from shop.toolkit.ids import new_id
from tests import factories
from tests.conftest import empty_tables, fetch
from tests.inventory.imports import errors, loaded, on_hand, undone
from tests.racing import all_at_once, deadlocks
from tests.stock_rows import assert_books_are_right, overdue

WHY = {"note": "", "reference": "", "caller": SYSTEM}
ITEMS = "/api/v1/inventory/items/"


def levels(product_id: int, warehouse: str = "MAIN") -> tuple[int, int, int]:
    """On hand, promised and unavailable."""
    stock = next(
        found for found in inventory.get_item(product_id, caller=SYSTEM).stocks if found.warehouse == warehouse
    )
    return stock.on_hand, stock.reserved + stock.committed, stock.unavailable


def on_backorder(*, on_hand: int, damaged: int = 0, limit: int = 20, promised: int = 0) -> int:
    """Make a product of which some units are damaged and some are promised; return its id."""
    product = factories.product(stock=on_hand)
    row = {"product_id": product.id, "warehouse": "MAIN"}
    if damaged:
        transactions.run(lambda: ledger.set_apart(**row, delta=damaged, reason="damaged", **WHY))
    transactions.run(lambda: inventory.set_policy(**row, changes={"backorder_limit": limit}, caller=SYSTEM))
    if promised:
        hold = factories.reservation((product.id, promised))
        transactions.run(lambda: inventory.confirm(hold.id, owner="test", caller=SYSTEM))
    return product.id


# Each takes some of the units that are there off those that may be sold.
DOORS = {
    "loss": lambda p, n: inventory.adjust(product_id=p, warehouse="MAIN", delta=-n, reason="lost", **WHY),
    "set": lambda p, n: ledger.set_on_hand(
        product_id=p, warehouse="MAIN", quantity=levels(p)[0] - n, expected_on_hand=None, reason="correction", **WHY
    ),
    "set apart": lambda p, n: ledger.set_apart(product_id=p, warehouse="MAIN", delta=n, reason="damaged", **WHY),
    "transfer": lambda p, n: ledger.transfer(
        transfer_id=new_id(), from_warehouse="MAIN", to_warehouse="EAST", items=[inventory.Demand(p, n)], note="",
        caller=SYSTEM,
    ),
    "sale": lambda p, n: ledger.sell(product_id=p, quantity=n, note="", reference="", caller=SYSTEM),
}  # fmt: skip


def by_file(mode: str, product_id: int, units: int) -> str:
    """Take units off by a file; return why that was refused, nothing when it was not."""
    sku, now = inventory.get_item(product_id, caller=SYSTEM).sku, levels(product_id)[0]
    quantity = -units if mode == "adjust" else now - units
    document = loaded(f"sku,warehouse,quantity\n{sku},MAIN,{quantity}\n", mode=mode, again=True)
    return "" if document.status == "applied" else errors(document)[0]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(("damaged", "promised", "free"), [(7, 0, 4), (0, 8, 3), (4, 5, 2), (5, 11, 0), (11, 3, 0)])
def test_no_more_goes_than_is_there_and_free_whatever_may_be_promised(database, door, damaged, promised, free):
    factories.warehouse("EAST", priority=200)
    product_id = on_backorder(on_hand=11, damaged=damaged, promised=promised)
    before = levels(product_id)

    with pytest.raises((inventory.StockPromised, inventory.InsufficientStock)):
        transactions.run(partial(DOORS[door], product_id, free + 1))
    assert levels(product_id) == before
    if free:
        transactions.run(partial(DOORS[door], product_id, free))
    assert_books_are_right()


@pytest.mark.parametrize("mode", ["set", "adjust", "count"])
def test_nor_by_a_file(database, mode):
    # Of a count, what is missing beyond the units for sale was among the damaged ones: nothing is for sale then.
    product_id = on_backorder(on_hand=11, damaged=4, promised=5)

    assert "at most 2 may" in by_file(mode, product_id, 3)
    assert levels(product_id) == (11, 5, 4)
    assert by_file(mode, product_id, 2) == ""
    assert levels(product_id) == (9, 5, 4)
    assert_books_are_right()


def test_safety_stock_may_be_taken(database):
    factories.warehouse("EAST", priority=200)
    product = factories.product(stock=6)
    transactions.run(
        lambda: inventory.set_policy(
            product_id=product.id, warehouse="MAIN", changes={"safety_stock": 6}, caller=SYSTEM
        )
    )
    transactions.run(partial(DOORS["transfer"], product.id, 6))
    assert on_hand(product.id) == {"MAIN": 0, "EAST": 6}


def test_damaged_units_are_not_shipped(database):
    product_id = on_backorder(on_hand=5, damaged=3, limit=10)
    hold = factories.reservation((product_id, 4))
    transactions.run(lambda: inventory.confirm(hold.id, owner="test", caller=SYSTEM))
    ship = lambda *items: inventory.fulfill(hold.id, owner="test", items=list(items) or None, caller=SYSTEM)

    for items in ((), (inventory.Demand(product_id, 3),)):
        with pytest.raises(inventory.InsufficientStock) as refused:
            transactions.run(lambda items=items: ship(*items))
        assert refused.value.shortages[0].available == 2
    transactions.run(lambda: ship(inventory.Demand(product_id, 2)))
    assert levels(product_id) == (3, 2, 3)
    transactions.run(partial(ledger.receive, product_id=product_id, levels=[inventory.Level("MAIN", 2)],
                             caller=SYSTEM, reference="", note=""))  # fmt: skip
    transactions.run(ship)
    assert levels(product_id) == (3, 0, 3)
    assert_books_are_right()


def test_over_http_each_is_a_409(staff):
    factories.warehouse("EAST", priority=200)
    product_id = on_backorder(on_hand=6, damaged=6, limit=10)
    order = factories.order(factories.user(), (product_id, 2))
    staff.post(f"/api/v1/orders/{order.id}/confirm")
    adjustment = {"warehouse": "MAIN", "reason": "correction"}
    moved = {"from_warehouse": "MAIN", "to_warehouse": "EAST", "items": [{"product_id": product_id, "quantity": 1}]}

    for path, body in (
        (f"/api/v1/orders/{order.id}/fulfill", {}),
        ("/api/v1/inventory/transfers", moved),
        (f"{ITEMS}{product_id}/adjustments", {**adjustment, "mode": "unavailable", "quantity": 1}),
        (f"{ITEMS}{product_id}/adjustments", {**adjustment, "mode": "adjust", "quantity": -1}),
        (f"{ITEMS}{product_id}/adjustments", {**adjustment, "mode": "discard", "quantity": 7}),
    ):
        response = staff.post(path, body)
        assert (response.status_code, response.json()["code"]) == (409, "insufficient_stock"), path
    assert levels(product_id) == (6, 2, 6)


@pytest.mark.parametrize("door", [*DOORS, "file: set", "file: adjust", "file: count", "policy"])
def test_overdue_holds_are_ended_before_units_are_taken(database, door):
    factories.warehouse("EAST", priority=200)
    product = factories.product(stock=7)
    row = {"product_id": product.id, "warehouse": "MAIN"}
    if door == "policy":
        transactions.run(lambda: inventory.set_policy(**row, changes={"backorder_limit": 5}, caller=SYSTEM))
    hold = factories.reservation((product.id, 7 if door != "policy" else 9), reference="late")
    overdue(hold.id)

    if door == "policy":
        transactions.run(lambda: inventory.set_policy(**row, changes={"backorder_limit": 0}, caller=SYSTEM))
    elif door.startswith("file"):
        assert by_file(door.removeprefix("file: "), product.id, 6) == ""
    else:
        transactions.run(partial(DOORS[door], product.id, 6))

    assert inventory.get_reservation(hold.id, caller=SYSTEM).state == "expired"
    assert levels(product.id)[1] == 0
    assert_books_are_right()


def test_a_dry_run_counts_overdue_holds_as_free_and_ends_none(database):
    product = factories.product(sku="MUG", stock=7)
    hold = factories.reservation((product.id, 7))
    overdue(hold.id)

    dry = loaded("sku,warehouse,quantity\nMUG,MAIN,1\n", dry_run=True)

    assert (dry.changed, dry.refused) == (1, 0)
    assert inventory.get_reservation(hold.id, caller=SYSTEM).state == "held"


@pytest.mark.alone
def test_who_takes_units_while_others_buy_and_holds_run_out_meets_no_deadlock(database):
    products = [factories.product(stock=500).id for _ in range(6)]
    factories.warehouse("EAST", priority=200)
    before = deadlocks()
    for _ in range(8):
        holds = [
            factories.reservation(*((p, 3) for p in chosen)) for chosen in (products, products[::-1], products[2:])
        ]
        overdue(*(hold.id for hold in holds))
        moves = [[inventory.Demand(p, 2) for p in chosen] for chosen in (products[:3], products[3:][::-1])]
        results = all_at_once(
            *(partial(DOORS["loss"], product_id, 2) for product_id in products),
            *(
                partial(ledger.transfer, transfer_id=new_id(), from_warehouse="MAIN", to_warehouse="EAST",
                        items=items, note="", caller=SYSTEM)
                for items in moves
            ),
            partial(inventory.expire_due, limit=10),
        )  # fmt: skip
        assert [result for result in results if isinstance(result, Exception)] == []
    assert deadlocks() == before
    assert_books_are_right()


def test_an_undone_count_gives_back_what_was_unavailable(database):
    product = factories.product(sku="MUG", stock=9)
    transactions.run(partial(DOORS["set apart"], product.id, 6))
    document = loaded("sku,warehouse,quantity\nMUG,MAIN,4\n", mode="count")
    assert levels(product.id) == (4, 0, 4)

    assert undone(document).changed == 1

    assert levels(product.id) == (9, 0, 6)
    assert_books_are_right()


def test_a_counted_file_is_not_applied_onto_a_correction_of_the_same_units(database):
    product, sold = factories.product(sku="MUG", stock=10), factories.product(sku="POT", stock=10)
    transactions.run(partial(DOORS["sale"], sold.id, 3))
    transactions.run(
        lambda: ledger.set_on_hand(
            product_id=product.id, warehouse="MAIN", quantity=8, expected_on_hand=10, reason="correction", **WHY
        )
    )
    header = "sku,warehouse,quantity,expected_on_hand\n"

    document = loaded(f"{header}MUG,MAIN,8,10\nPOT,MAIN,9,10\n", mode="count", on_error="skip")

    assert errors(document) == ["2 quantity '8': the stock was corrected after this was counted; count it again"]
    assert (on_hand(product.id), on_hand(sold.id)) == ({"MAIN": 8}, {"MAIN": 6})
    # A number that the book did not say is a mistake, not a moment.
    never = loaded(f"{header}MUG,MAIN,9,7\n", mode="count")
    assert errors(never) == ["2 expected_on_hand '7': the book did not say 7 lately; it says 8"]
    # Counted after the correction, it is a count like any other.
    assert loaded(f"{header}MUG,MAIN,7,8\n", mode="count").changed == 1
    assert on_hand(product.id) == {"MAIN": 7}


CONSTRAINT = "inventory_unavailable_is_on_hand"


def execute(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


@pytest.fixture
def as_before_the_constraint(database):
    MigrationExecutor(connection).migrate([("inventory", "0016_validate_sku_key")])
    condition = fetch(f"SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = '{CONSTRAINT}'")[0][0]
    execute(f"ALTER TABLE inventory_stock DROP CONSTRAINT {CONSTRAINT}")
    yield f"ALTER TABLE inventory_stock ADD CONSTRAINT {CONSTRAINT} {condition} NOT VALID"
    empty_tables()  # whatever the test has left must not stop it
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())


def test_a_migration_that_meets_impossible_rows_stops_and_says_how_to_repair_each(as_before_the_constraint, capsys):
    factories.warehouse("EAST")
    for sku, place, on_hand_now, set_apart in (
        ("MUG blue", "MAIN", 5, 12),
        ("POT", "EAST", 0, 3),
        ("OK", "MAIN", 4, 4),
    ):
        product = factories.product(sku=sku, stock={place: on_hand_now})
        row = {"product_id": product.id, "warehouse": place}
        transactions.run(lambda row=row: inventory.set_policy(**row, changes={"backorder_limit": 20}, caller=SYSTEM))
        # As the release before this one let it happen.
        fetch(
            "WITH head AS (UPDATE inventory_stock SET unavailable = %s, seq = seq + 1 WHERE product_id = %s"
            " RETURNING *)"
            " INSERT INTO inventory_movement (product_id, warehouse_id, seq, on_hand_delta, reserved_delta,"
            " committed_delta, unavailable_delta, on_hand, reserved, committed, unavailable, kind, reason, reference,"
            " note, created_at) SELECT product_id, warehouse_id, seq, 0, 0, 0, unavailable, on_hand, 0, 0, unavailable,"
            " 'adjust', 'damaged', '', '', now() FROM head RETURNING 1",
            set_apart,
            product.id,
        )
    execute(as_before_the_constraint)

    with pytest.raises(CommandError) as stopped:
        call_command("migrate", verbosity=0)

    said = str(stopped.value).splitlines()
    assert "No stock was changed" in said[0]
    assert said[1:] == [
        "  MUG blue in MAIN: 12 unavailable, 5 on hand",
        "    manage.py adjust_stock 'MUG blue' MAIN --unavailable=-7",
        "  POT in EAST: 3 unavailable, 0 on hand",
        "    manage.py adjust_stock POT EAST --unavailable=-3",
    ]
    assert fetch("SELECT max(name) FROM django_migrations WHERE app = 'inventory'") == [("0016_validate_sku_key",)]
    call_command("adjust_stock", "MUG blue", "MAIN", "--unavailable=-7")
    call_command("adjust_stock", "POT", "EAST", "--unavailable=-3", "--note", "never there")
    assert "MUG blue in MAIN: 5 on hand, 5 unavailable." in capsys.readouterr().out
    call_command("migrate", verbosity=0)
    assert_books_are_right()


def test_the_command_adjusts_by_hand_what_may_be_adjusted(database, capsys):
    factories.product(sku="MUG", stock=5)
    call_command("adjust_stock", "MUG", "MAIN", "--on-hand=-2", "--reason", "lost", "--note", "shelf 4")
    assert capsys.readouterr().out == "MUG in MAIN: 3 on hand, 0 unavailable.\n"
    assert fetch("SELECT reason, note FROM inventory_movement WHERE seq = 2") == [("lost", "shelf 4")]
    for arguments, said in (
        (("MUG", "MAIN", "--on-hand=-4"), "MUG in MAIN was not changed"),
        (("CUP", "MAIN", "--on-hand=1"), "There is no product with the SKU CUP"),
        (("MUG", "EAST", "--on-hand=1"), "There is no warehouse EAST"),
        (("MUG", "MAIN", "--on-hand=0"), "The number of units must be"),
        (("MUG", "MAIN", "--unavailable=9999999999"), "The number of units must be"),
    ):
        with pytest.raises(CommandError, match=said):
            call_command("adjust_stock", *arguments)
