"""The staff's screens of stocktakes: open, scan and count, close."""

import pytest

from inventory import services as inventory
from shop.toolkit import transactions
from tests import factories
from tests.admin.test_stock_pages import GROUPS, signed_in
from tests.conftest import counted_statements, fetch
from tests.inventory.imports import on_hand
from tests.inventory.test_concurrency import assert_books_are_right

COUNTS = "/admin/inventory/count/"


@pytest.fixture
def clerk(database):
    return signed_in("Inventory clerk")


def opened(client) -> str:
    """Open a count of MAIN; return the address of the page on which counts are entered."""
    response = client.post(f"{COUNTS}open/", {"warehouse": "MAIN", "note": "spring"})
    assert response.status_code == 302
    return response.headers["Location"]


def test_a_count_is_opened_entered_and_closed_while_sales_go_on(clerk):
    mug, pot = factories.product(sku="MUG", stock=10), factories.product(sku="POT", stock=4)
    assert clerk.get(f"{COUNTS}open/").status_code == 200
    enter = opened(clerk)

    scanned = clerk.post(enter, {"sku": "MUG", "counted": ""})  # what a scanner's Enter sends
    assert scanned.status_code == 200
    page = scanned.content.decode()
    assert page.index("autofocus") > page.index('name="sku"')  # the number is next
    assert 'value="MUG"' in page
    entered = clerk.post(enter, {"sku": "MUG", "counted": 8})
    assert (entered.status_code, entered.headers["Location"]) == (302, enter)
    page = clerk.get(enter).content.decode()
    assert "MUG: 8 counted." in page
    assert page.index("autofocus") < page.index('name="counted"')  # the next SKU
    clerk.post(enter, {"sku": "POT", "counted": 4})
    transactions.run(lambda: inventory.sell(product_id=mug.id, quantity=3, note="", reference="", actor_id=None))

    shown = clerk.get(enter.replace("enter/", "change/")).content.decode()
    assert "-2" in shown
    assert shown.index("MUG") < shown.rindex("POT")
    close = enter.replace("enter/", "close/")
    assert clerk.get(close).status_code == 200
    assert clerk.post(close).status_code == 302

    assert (on_hand(mug.id), on_hand(pot.id)) == ({"MAIN": 5}, {"MAIN": 4})
    assert "2 products counted, 1 differed" in clerk.get(enter.replace("enter/", "change/")).content.decode()
    assert_books_are_right()


def test_what_cannot_be_is_said_above_the_form(clerk):
    factories.product(sku="MUG", stock=10)
    enter = opened(clerk)
    second = clerk.post(f"{COUNTS}open/", {"warehouse": "MAIN"})
    assert (second.status_code, "A count of MAIN is open already" in second.content.decode()) == (422, True)
    for given, said in (
        ({"sku": "NONE", "counted": 1}, "There is no product with the SKU NONE"),
        ({"sku": "MUG", "counted": -1}, "greater than or equal to 0"),
        ({"sku": "", "counted": 1}, "This field is required"),
    ):
        response = clerk.post(enter, given)
        assert (response.status_code, said in response.content.decode()) == (422, True)
    clerk.post(enter.replace("enter/", "close/"))
    closed = clerk.post(enter, {"sku": "MUG", "counted": 1})
    assert (closed.status_code, "This count is closed" in closed.content.decode()) == (422, True)
    unknown = "00000000-0000-7000-8000-000000000000"
    assert clerk.get(f"{COUNTS}{unknown}/enter/").status_code == 404
    assert fetch("SELECT count(*) FROM inventory_countline") == [(0,)]


def test_buttons_lead_to_pages_while_the_count_is_open(clerk):
    assert f'href="{COUNTS}open/"' in clerk.get(COUNTS).content.decode()
    count_id = opened(clerk).split("/")[-3]

    def buttons() -> set[str]:
        page = clerk.get(f"{COUNTS}{count_id}/change/").content.decode()
        return {step for step in ("enter", "close") if f'href="{COUNTS}{count_id}/{step}/"' in page}

    assert buttons() == {"enter", "close"}
    clerk.post(f"{COUNTS}{count_id}/close/")
    assert buttons() == set()


@pytest.mark.parametrize("group", [group for group in GROUPS if group not in ("Inventory clerk", "Inventory manager")])
def test_others_may_not_count(database, group):
    enter = opened(signed_in("Inventory clerk"))
    client = signed_in(group)
    for path in (f"{COUNTS}open/", enter, enter.replace("enter/", "close/")):
        assert client.get(path).status_code == 403
        assert client.post(path, {"warehouse": "MAIN"}).status_code == 403
    assert fetch("SELECT count(*) FROM inventory_count WHERE closed_at IS NULL") == [(1,)]


def test_statements_do_not_grow_with_what_is_counted(clerk):
    enter = opened(clerk)
    counts = []
    for more in (1, 20):
        for _ in range(more):
            clerk.post(enter, {"sku": factories.product(stock=1).sku, "counted": 2})
        clerk.get(enter)  # messages are shown once
        with counted_statements() as statements:
            assert clerk.get(enter.replace("enter/", "change/")).status_code == 200
        counts.append(len(statements))
    assert counts[0] == counts[1]
