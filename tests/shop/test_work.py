"""`manage.py work`: what nobody waits for."""

import logging

from django.core.management import call_command
from django.db import OperationalError

from inventory import services as inventory
from shop.management.commands import work
from tests import factories
from tests.conftest import fetch
from tests.inventory.imports import on_hand, staged
from tests.inventory.test_concurrency import overdue


def test_it_finishes_imports_expires_holds_and_clears_keys(database):
    mug = factories.product(sku="MUG", stock=5)
    document = staged("sku,quantity\nMUG,9\n")
    order = factories.order(factories.user(), (mug.id, 1))
    overdue(fetch("SELECT reservation_id FROM orders_order")[0][0])
    fetch(
        "INSERT INTO toolkit_idempotencykey (user_id, endpoint, key, fingerprint, content_type, created_at)"
        " VALUES (1, 'POST /', 'k', '', '', now() - interval '2 days') RETURNING 1"
    )

    call_command("work", "--once")

    assert inventory.get_import(document.id).status == "applied"
    assert on_hand(mug.id) == {"MAIN": 9}
    assert fetch("SELECT status FROM orders_order WHERE id = %s", order.id) == [("expired",)]
    assert fetch("SELECT count(*) FROM toolkit_idempotencykey") == [(0,)]


def test_a_chore_that_meets_a_restarted_database_is_logged_and_tried_again_later(database, caplog):
    def fails() -> None:
        raise OperationalError("the server was restarted")

    with caplog.at_level(logging.ERROR):
        work._attempt(fails)

    assert "A chore failed; once more in a moment" in caplog.text


def test_a_dry_run_is_nobodys_to_finish(database):
    factories.product(sku="MUG", stock=5)
    staged("sku,quantity\nMUG,9\n", dry_run=True)
    assert inventory.unfinished_imports() == []
