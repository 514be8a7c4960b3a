"""The staff's screens of orders: the steps of an order, what is refused, and to whom."""

import re

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client

from inventory import services as inventory
from shop.toolkit.callers import SYSTEM
from shop.toolkit.db import transactions
from tests import factories
from tests.admin.staff_client import GROUPS, signed_in
from tests.conftest import counted_statements, fetch
from tests.stock_rows import assert_books_are_right, overdue

ORDERS = "/admin/orders/order/"


@pytest.fixture
def desk(database) -> Client:
    return signed_in("Order desk")


@pytest.fixture
def order(database):
    factories.warehouse("EAST", priority=200)
    mug = factories.product(sku="MUG", stock={"MAIN": 2, "EAST": 5})
    pot = factories.product(sku="POT", stock=9)
    return factories.order(factories.user(), (mug.id, 4), (pot.id, 1))


def step(client: Client, order, name: str, **given: object):
    return client.post(f"{ORDERS}{order.id}/{name}/", given)


def status(order) -> str:
    return fetch("SELECT status FROM orders_order WHERE id = %s", order.id)[0][0]


def test_an_order_goes_its_way_step_by_step(desk, order):
    mug, pot = order.items
    assert step(desk, order, "confirm", payment_reference="pay_7").status_code == 302
    assert status(order) == "confirmed"
    page = desk.get(f"{ORDERS}{order.id}/change/").content.decode()
    assert "Still to pick, by warehouse" in page
    assert page.index("EAST") < page.index("MAIN")
    form = desk.get(f"{ORDERS}{order.id}/fulfill/").content.decode()
    assert 'value="4"' in form  # all that is open stands there already
    assert step(desk, order, "fulfill", **{f"units_{mug.product_id}": 3}).status_code == 302
    assert status(order) == "partially_fulfilled"
    assert step(desk, order, "take-back", **{f"units_{mug.product_id}": 1}, note="a crack").status_code == 302
    assert step(desk, order, "cancel", reason="changed their mind").status_code == 302

    assert status(order) == "cancelled"
    assert fetch("SELECT fulfilled, returned, cancelled FROM orders_orderline ORDER BY product_id") == [
        (3, 1, 1),
        (0, 0, 1),
    ]
    assert fetch("SELECT sum(unavailable) FROM inventory_stock") == [(1,)]  # not resalable: nobody ticked that
    page = desk.get(f"{ORDERS}{order.id}/change/").content.decode()
    for said in ("changed their mind", "a crack", desk.email):
        assert said in page
    assert LogEntry.objects.filter(user__email=desk.email, object_id=str(order.id)).count() == 4
    assert pot.product_id
    assert_books_are_right()


def test_what_cannot_be_is_said_above_the_form(desk, order):
    mug, _ = order.items
    for name, given, said in (
        ("fulfill", {f"units_{mug.product_id}": 1}, "pending"),
        ("fulfill", {f"units_{mug.product_id}": 5}, "less than or equal to 4"),
        ("fulfill", {}, "Enter units for at least one product"),
        ("take-back", {f"units_{mug.product_id}": 1}, "Enter units for at least one product"),
        ("cancel", {"reason": "x" * 501}, "at most 500 characters"),
    ):
        response = step(desk, order, name, **given)
        assert (response.status_code, said in response.content.decode()) == (422, True), name
    assert status(order) == "pending"
    unknown = "00000000-0000-7000-8000-000000000000"
    assert desk.post(f"{ORDERS}{unknown}/cancel/").status_code == 404
    assert desk.get(f"{ORDERS}{unknown}/fulfill/").status_code == 404


def test_the_pick_list_is_what_is_still_to_be_shipped_by_warehouse(desk):
    factories.warehouse("EAST", priority=200)
    mug, pot = factories.product(sku="MUG", stock={"MAIN": 2, "EAST": 2}), factories.product(sku="POT", stock=5)
    order = factories.order(factories.user(), (mug.id, 3), (pot.id, 1))
    path = f"{ORDERS}{order.id}/pick-list/"
    assert "Nothing is left to pick" in desk.get(path).content.decode()  # nobody has paid yet
    assert "Still to be picked" not in desk.get(f"{ORDERS}{order.id}/change/").content.decode()
    step(desk, order, "confirm")

    def picks() -> list[tuple[str, ...]]:
        page = desk.get(path).content.decode()
        sections = re.split(r"<h2>", page)[1:]
        row = r"<tr><td>(\w+)</td><td>[^<]*</td><td class=\"units\">(\d+)</td>"
        return [(part.split("<")[0], *found) for part in sections for found in re.findall(row, part)]

    assert picks() == [("EAST", "MUG", "1"), ("MAIN", "MUG", "2"), ("MAIN", "POT", "1")]
    step(desk, order, "fulfill", **{f"units_{mug.id}": 2})
    assert sum(int(units) for _, sku, units in picks() if sku == "MUG") == 1
    step(desk, order, "fulfill", **{f"units_{mug.id}": 1, f"units_{pot.id}": 1})
    assert "Nothing is left to pick" in desk.get(path).content.decode()
    assert signed_in("Inventory clerk").get(path).status_code == 403


def test_only_steps_that_lead_on_have_a_button(desk, order):
    def buttons() -> set[str]:
        page = desk.get(f"{ORDERS}{order.id}/change/").content.decode()
        names = ("confirm", "fulfill", "pick-list", "cancel", "take-back")
        return {name for name in names if f'href="{ORDERS}{order.id}/{name}/"' in page}

    assert buttons() == {"confirm", "cancel"}
    step(desk, order, "confirm")
    assert buttons() == {"fulfill", "cancel", "pick-list"}
    step(desk, order, "fulfill", **{f"units_{line.product_id}": line.quantity for line in order.items})
    assert (status(order), buttons()) == ("fulfilled", {"take-back"})


@pytest.mark.parametrize("group", GROUPS)
def test_others_than_the_order_desk_may_not_touch_orders(order, group):
    client = signed_in(group)
    assert client.get(ORDERS).status_code == (200 if group in ("Order desk", "Payments") else 403)
    for name in ("confirm", "fulfill", "cancel", "take-back"):
        may = group == "Order desk" or (group == "Payments" and name == "confirm")
        assert client.get(f"{ORDERS}{order.id}/{name}/").status_code == (200 if may else 403)
        if not may:
            assert step(client, order, name).status_code == 403
    assert status(order) == "pending"


def test_statements_of_an_order_do_not_grow_with_its_lines(desk):
    counts = []
    for lines in (1, 30):
        products = [factories.product(stock=5) for _ in range(lines)]
        made = factories.order(factories.user(), *((product.id, 1) for product in products))
        with counted_statements() as statements:
            assert desk.get(f"{ORDERS}{made.id}/change/").status_code == 200
        counts.append(len(statements))
    assert counts[0] == counts[1]


def test_the_list_and_the_page_show_what_the_order_itself_says(desk):
    product, buyer = factories.product(stock=5), factories.user()
    ended, waits = factories.order(buyer, (product.id, 1)), factories.order(buyer, (product.id, 1))
    overdue(inventory.explain(product.id, caller=SYSTEM).holds[0].reservation_id)
    transactions.run(lambda: inventory.expire_due(limit=1))  # the hold; the order's row follows when somebody sweeps
    assert fetch("SELECT DISTINCT status FROM orders_order") == [("pending",)]

    def listed(status: str) -> set[str]:
        page = desk.get(f"{ORDERS}?status__exact={status}").content.decode()
        return {found.number for found in (ended, waits) if found.number in page}

    assert (listed("pending"), listed("expired")) == ({waits.number}, {ended.number})
    page = desk.get(f"{ORDERS}{ended.id}/change/").content.decode()
    assert "Expired" in page
    assert f'href="{ORDERS}{ended.id}/confirm/"' in page
    assert step(desk, ended, "cancel").status_code == 302
    assert status(ended) == "cancelled"
