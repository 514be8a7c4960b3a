"""`manage.py verify_stock`: a corruption planted per check is found, with its rows, and nothing else is."""

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from inventory.verification.sql import CHECKS as INVENTORY_CHECKS
from shop import verification
from tests import factories
from tests.inventory.imports import loaded

WITHOUT_GUARDS = "SET LOCAL session_replication_role = replica;"  # no triggers, no foreign keys


def drop(table: str, *constraints: str) -> str:
    return "".join(f"ALTER TABLE {table} DROP CONSTRAINT {name} CASCADE;" for name in constraints)


SECOND_ROW = """
INSERT INTO inventory_stock (product_id, warehouse_id, on_hand, reserved, committed, unavailable, safety_stock,
    backorder_limit, reorder_point, seq)
SELECT product_id, warehouse_id, on_hand, reserved, committed, unavailable, safety_stock, backorder_limit,
    reorder_point, seq FROM inventory_stock
"""
SECOND_RESERVATION = """
DROP INDEX inventory_reservation_open_once;
INSERT INTO inventory_reservation (id, owner, reference, state, expires_at, created_at)
SELECT gen_random_uuid(), owner, reference, 'held', now(), now() FROM inventory_reservation
"""
CLOSED_COUNT = """
INSERT INTO inventory_count (id, warehouse_id, note, opened_at, closed_at)
SELECT gen_random_uuid(), id, '', now(), now() FROM inventory_warehouse;
INSERT INTO inventory_countline (count_id, product_id, counted, book, counted_at)
SELECT id, 1, 2, 2, now() FROM inventory_count
"""
CORRUPTIONS = {
    "quantities": (
        drop("inventory_stock", "inventory_never_oversold") + "UPDATE inventory_stock SET on_hand = 1",
        {"head", "guard_constraints"},
    ),
    "one_row": (drop("inventory_stock", "inventory_stock_pkey") + SECOND_ROW, {"guard_constraints"}),
    "head": ("UPDATE inventory_stock SET on_hand = on_hand + 1", set()),
    "chain": ("DELETE FROM inventory_movement WHERE seq = 1", set()),
    "claims": ("UPDATE inventory_reservationline SET quantity = 4, open = 4", {"orders_covered"}),
    "lines": (
        drop("inventory_reservationline", "inventory_line_adds_up")
        + "UPDATE inventory_reservationline SET released = 1",
        {"guard_constraints"},
    ),
    "endings": (
        "UPDATE inventory_reservation SET state = 'released', ended_at = now()",
        {"claims", "orders_follow_reservations"},
    ),
    "references": (SECOND_RESERVATION, {"endings", "guard_constraints"}),
    "orphans": ("DELETE FROM inventory_reservation", {"claims", "orders_covered", "orders_follow_reservations"}),
    "counts": (CLOSED_COUNT, set()),
    "imports": ("UPDATE inventory_stockimport SET by_warehouse = '{}'", set()),
    "guard_triggers": ("ALTER TABLE inventory_movement DISABLE TRIGGER inventory_movement_append_only", set()),
    "guard_constraints": (drop("inventory_movement", "inventory_movement_chain"), set()),
    "guard_indexes": (
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'inventory_line_open'::regclass",
        set(),
    ),
    "orders_covered": ("UPDATE orders_orderline SET cancelled = 1", set()),
    "orders_follow_reservations": ("UPDATE orders_order SET status = 'confirmed'", set()),
    "products_and_items": ("UPDATE inventory_item SET sku = 'ELSE'", set()),
    "order_totals": ("UPDATE orders_order SET total = total + 1", set()),
}  # fmt: skip


def findings() -> set[str]:
    return {name for name, finding in verification.checks() if finding}


@pytest.fixture
def books(database) -> None:
    product = factories.product(stock=10)
    factories.order(factories.user(), (product.id, 3))
    loaded(f"sku,quantity\n{product.sku},12\n")


def test_right_books_have_no_finding_but_that_a_throw_away_server_is_not_durable(books):
    with connection.cursor() as cursor:
        cursor.execute("SHOW fsync")
        durable = cursor.fetchone() == ("on",)

    assert findings() == (set() if durable else {"guard_settings"})


@pytest.mark.parametrize("check", CORRUPTIONS)
def test_a_planted_corruption_is_found_with_its_rows(books, check):
    statement, also = CORRUPTIONS[check]
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(f"{WITHOUT_GUARDS} {statement}; SET LOCAL session_replication_role = origin")
        found = {name: finding for name, finding in verification.checks() if finding}
        transaction.set_rollback(True)

    assert set(found) - {"guard_settings"} == {check} | also
    assert found[check].rows
    assert findings() <= {"guard_settings"}


def test_more_unavailable_than_on_hand_is_found_whatever_may_be_promised(books):
    physics = drop("inventory_stock", "inventory_unavailable_is_on_hand")
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(
                f"{WITHOUT_GUARDS} {physics} UPDATE inventory_stock SET unavailable = 13, backorder_limit = 99;"
                " SET LOCAL session_replication_role = origin"
            )
        found = findings()
        transaction.set_rollback(True)

    assert found - {"guard_settings"} == {"quantities", "head", "guard_constraints"}


def test_every_check_has_a_planted_corruption():
    assert set(CORRUPTIONS) | {"guard_settings"} == set(INVENTORY_CHECKS) | set(verification.CHECKS)


def test_the_command_prints_every_finding_and_exits_with_1(books):
    with connection.cursor() as cursor:
        cursor.execute("UPDATE products_product SET sku = 'ELSE'")
    lines, document = StringIO(), StringIO()

    for out, options in ((lines, {}), (document, {"json": True})):
        with pytest.raises(CommandError) as caught:
            call_command("verify_stock", stdout=out, **options)
        assert caught.value.returncode == 1

    assert "products_and_items: A product has no inventory item, or an item no product." in lines.getvalue()
    assert "sku=ELSE" in lines.getvalue()
    assert "chain: ok" in lines.getvalue()
    found = {finding["check"]: finding["rows"] for finding in json.loads(document.getvalue())["findings"]}
    assert found["products_and_items"][0]["sku"] == "ELSE"
