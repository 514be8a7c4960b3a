"""The first page of the staff: numbers that lead to the lists behind them, and to those only who may see them."""

import html
import json
import re
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from inventory import services as inventory
from inventory.stock import ledger
from orders import services as orders
from shop.models import Verdict
from shop.toolkit.callers import SYSTEM
from shop.toolkit.db import transactions
from tests import factories
from tests.admin.staff_client import GROUPS, signed_in
from tests.conftest import counted_statements
from tests.inventory.imports import staged
from tests.stock_rows import overdue, set_stock


def sell(product, units: int) -> None:
    transactions.run(lambda: ledger.sell(product_id=product.id, quantity=units, note="", reference="", caller=SYSTEM))


def cards(page: str) -> dict[str, int]:
    found = re.findall(r"<div>([A-Za-z ]+)</div>\s*<div[^>]*text-2xl[^>]*>(\d+)</div>", page)
    return {name: int(count) for name, count in found}


def test_what_needs_somebody_what_sells_and_what_will_be_out_soon(database):
    mug, pot = factories.product(sku="MUG", stock=90), factories.product(sku="POT", stock=10)
    factories.product(sku="OUT", stock=0)
    set_stock(pot.id, "MAIN", reorder_point=4)
    sell(mug, 30)
    sell(pot, 6)
    overdue(factories.reservation((mug.id, 1)).id)
    order = factories.order(factories.user(), (mug.id, 2))
    client = signed_in(is_superuser=True)

    page = client.get("/admin/").content.decode()

    found = cards(page)
    assert (found["Low"], found["Out of stock"], found["Overdue holds"], found["Stale imports"]) == (1, 1, 1, 0)
    assert (found["pending"], found["confirmed"], found["partially fulfilled"]) == (1, 0, 0)
    assert page.index("POT") < page.rindex("MUG")  # four units at six a month end before 57 at thirty
    sales = inventory.sales(caller=SYSTEM)
    assert [(mover.sku, mover.sold) for mover in sales.top] == [("MUG", 30), ("POT", 6)]
    assert [(mover.sku, mover.available, mover.days_of_cover) for mover in sales.soon_out] == [
        ("POT", 4, 20.0),
        ("MUG", 57, 57.0),
    ]
    assert len(sales.by_day) == 30
    assert sales.by_day[-1][1] == 36
    assert sum(units for _, units in sales.by_day) == 36
    chart = json.loads(re.search(r'data-value="([^"]*)"', page)[1].replace("&quot;", '"'))
    assert chart["datasets"][0]["data"][-1] == 36
    assert order.status == "pending"


def test_the_last_verdict_on_the_books_is_said(database):
    client = signed_in(is_superuser=True)
    assert "The stock records were never verified" in client.get("/admin/").content.decode()
    factories.product(stock=3)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE inventory_item SET sku = 'WRONG'")
    with pytest.raises(CommandError):
        call_command("verify_stock", stdout=StringIO())
    page = client.get("/admin/").content.decode()
    assert re.search(r"The stock records were wrong at [-0-9]+ [0-9:]+: [a-z_, ]*products_and_items", page)
    assert 'role="alert"' in page

    # The tests' own server does not sync to disk, and is never quite right.
    Verdict.objects.create(taken_at=timezone.now(), checked=18, broken=[])
    page = client.get("/admin/").content.decode()
    assert re.search(r"The stock records were right at [-0-9]+ [0-9:]+: 18 checks", page)


@pytest.mark.parametrize("dry_run", [False, True])
def test_an_import_that_is_unfinished_for_long_is_stale(database, dry_run):
    import_id = staged("sku,quantity\n" + factories.product().sku + ",1\n", dry_run=dry_run).id
    client = signed_in(is_superuser=True)
    assert cards(client.get("/admin/").content.decode())["Stale imports"] == 0
    with connection.cursor() as cursor:
        cursor.execute("UPDATE inventory_stockimport SET created_at = now() - interval '11 minutes'")
    page = client.get("/admin/").content.decode()
    assert cards(page)["Stale imports"] == 1
    listed = re.search(r'href="(/admin/inventory/stockimport/[^"]*)"', page.partition("Overdue holds")[2])[1]
    assert str(import_id) in client.get(html.unescape(listed)).content.decode()


def test_every_number_leads_to_its_list(database):
    factories.product(stock=0)
    client = signed_in(is_superuser=True)
    page = html.unescape(client.get("/admin/").content.decode())
    links = re.findall(r'<a href="(/admin/[a-z]+/[a-z]+/(?:\?[^"]*)?)"', page)
    assert len([link for link in links if "?" in link]) >= 3
    assert {client.get(link).status_code for link in links} == {200}


def test_each_group_sees_what_it_may(database):
    factories.order(factories.user(), (factories.product(stock=5).id, 1))
    for group in GROUPS:
        found = cards(signed_in(group).get("/admin/").content.decode())
        assert ("Out of stock" in found) == (group != "Payments")  # each of the others sees items
        assert ("Overdue holds" in found) == ("Stale imports" in found) == group.startswith("Inventory")
        assert ("pending" in found) == (group in ("Order desk", "Payments"))
    assert cards(signed_in().get("/admin/").content.decode()) == {}


def test_statements_of_the_dashboard_do_not_grow_with_the_shop(database):
    client = signed_in(is_superuser=True)
    counts = []
    for more in (1, 25):
        for _ in range(more):
            sell(factories.product(stock=5), 1)
        with counted_statements() as statements:
            client.get("/admin/")
        counts.append(len(statements))
    assert counts[0] == counts[1]


def test_orders_are_counted_since_a_moment(database):
    user, product = factories.user(), factories.product(stock=5)
    factories.order(user, (product.id, 1))
    now = timezone.now()
    assert orders.count_by_status(since=now - timedelta(seconds=5))["pending"] == 1
    assert sum(orders.count_by_status(since=now + timedelta(seconds=5)).values()) == 0
