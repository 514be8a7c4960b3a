"""The staff's screens of stocktakes: open, scan and count, close."""

import re

import pytest

from inventory import services as inventory
from inventory.stock import ledger
from shop.toolkit.callers import SYSTEM
from shop.toolkit.db import transactions
from tests import factories
from tests.admin.staff_client import GROUPS, signed_in
from tests.conftest import counted_statements, fetch
from tests.inventory.imports import on_hand
from tests.stock_rows import assert_books_are_right

COUNTS = "/admin/inventory/count/"


@pytest.fixture
def clerk(database):
    return signed_in("Inventory clerk")


def opened(client) -> str:
    """Open a count of MAIN; return the address of the page on which counts are entered."""
    response = client.post(f"{COUNTS}open/", {"warehouse": "MAIN", "note": "spring"})
    assert response.status_code == 302
    return response.headers["Location"]


def page_of(step: str, enter: str) -> str:
    """Return the address of another page of a count."""
    return enter.partition("?")[0].replace("enter/", f"{step}/")


def test_a_count_is_opened_scanned_reviewed_and_closed_while_sales_go_on(clerk):
    mug, pot = factories.product(sku="MUG", stock=10), factories.product(sku="POT", stock=4)
    assert clerk.get(f"{COUNTS}open/").status_code == 200
    enter = opened(clerk)

    for sku in ("MUG", "POT", "MUG"):
        scanned = clerk.post(enter, {"sku": sku})
        assert scanned.status_code == 302
    page = clerk.get(scanned.headers["Location"]).content.decode()
    assert f"MUG {mug.name}: 2 counted, 1 before; 10 on record." in page
    assert page.index("autofocus") > page.index('name="sku"')  # the next SKU
    assert page.count("autofocus") == 1
    assert "Products counted: 2, units: 3." in page
    quantity = f"{page_of('quantity', enter)}?product={mug.id}"
    assert "Replace the 2 counted before" in clerk.get(quantity).content.decode()
    assert clerk.post(quantity, {"quantity": 5, "how": "add"}).status_code == 302
    assert clerk.post(quantity, {"quantity": 8, "how": "replace"}).status_code == 302
    clerk.post(f"{page_of('quantity', enter)}?product={pot.id}", {"quantity": 4, "how": "replace"})
    transactions.run(lambda: ledger.sell(product_id=mug.id, quantity=3, note="", reference="", caller=SYSTEM))

    shown = clerk.get(page_of("change", enter)).content.decode()
    assert "-2" in shown
    assert shown.index("MUG") < shown.rindex("POT")
    review = clerk.get(page_of("close", enter)).content.decode()
    assert "Open lines: 2. Different from the record: 1 (0 units more, 2 fewer)." in review
    assert clerk.post(page_of("close", enter)).headers["Location"] == page_of("change", enter)

    assert (on_hand(mug.id), on_hand(pot.id)) == ({"MAIN": 5}, {"MAIN": 4})
    assert (
        "Posted 2 lines; 1 of them corrected the stock. The count is closed."
        in clerk.get(page_of("change", enter)).content.decode()
    )
    assert_books_are_right()


def test_what_cannot_be_posted_is_said_with_why_and_the_rest_is_posted(clerk):
    mug, pot = factories.product(sku="MUG", stock=10), factories.product(sku="POT", stock=4)
    order = factories.order(factories.user(), (mug.id, 9))
    enter = opened(clerk)
    for product, units in ((mug, 3), (pot, 5)):
        clerk.post(f"{page_of('quantity', enter)}?product={product.id}", {"quantity": units})

    review = clerk.get(page_of("close", enter)).content.decode()
    refused_from = review.index("Cannot be posted")
    assert review.index("MUG", refused_from) < review.index("Will be corrected") < review.index("POT", refused_from)
    assert f"the others are promised (9 to {order.number})." in review
    left = clerk.post(page_of("close", enter))
    assert left.headers["Location"] == page_of("close", enter)
    page = clerk.get(page_of("close", enter)).content.decode()
    assert "Posted 1 line; 1 of them corrected the stock. Still open: 1 line, for the reasons below." in page
    assert (on_hand(mug.id), on_hand(pot.id)) == ({"MAIN": 10}, {"MAIN": 5})
    # It blocks nothing else: another count of the warehouse is opened, and says that this one is open.
    other = opened(clerk)
    assert "Another count of MAIN is also open." in clerk.get(other).content.decode()
    assert clerk.post(f"{page_of('remove-line', enter)}?product={mug.id}").status_code == 302
    assert clerk.post(page_of("close", enter)).headers["Location"] == page_of("change", enter)


def test_a_review_names_a_line_that_did_not_differ_and_was_corrected_since(clerk):
    mug = factories.product(sku="MUG", stock=10)
    enter = opened(clerk)
    clerk.post(f"{page_of('quantity', enter)}?product={mug.id}", {"quantity": 10})
    transactions.run(
        lambda: inventory.adjust(
            product_id=mug.id, warehouse="MAIN", delta=-1, reason="lost", note="", reference="", caller=SYSTEM
        )
    )

    for _ in range(2):  # before it is closed, and because it cannot be
        review = clerk.get(page_of("close", enter)).content.decode()
        assert "The stock was corrected after this was counted. Count it again." in review
        assert review.index("Cannot be posted") < review.rindex("MUG")
        left = clerk.post(page_of("close", enter))
        assert left.headers["Location"] == page_of("close", enter)


def test_a_scanned_code_is_never_taken_for_a_quantity(clerk):
    mug = factories.product(sku="MUG", stock=10)
    factories.product(sku="4711", stock=1)
    factories.product(sku="0042", stock=1)
    enter = opened(clerk)
    quantity = f"{page_of('quantity', enter)}?product={mug.id}"

    for typed, said in (
        ("4711", "4711 is the SKU of"),
        ("0042", "0042 is the SKU of"),
        ("121", "121 is far above the 10 on record."),
        ("4006381333931", "less than or equal to 1000000000"),
        ("MUG", "MUG is the SKU of"),
        ("two", "Enter a whole number"),
    ):
        asked = clerk.post(quantity, {"quantity": typed})
        assert (asked.status_code, said in asked.content.decode()) == (422, True), typed
    assert fetch("SELECT count(*) FROM inventory_countline") == [(0,)]
    # Who was sure of one number is asked about another.
    again = clerk.post(quantity, {"quantity": "122", "sure": "121"})
    assert (again.status_code, "122 is far above" in again.content.decode()) == (422, True)
    (switch,) = re.findall(r'<input type="checkbox" name="sure"[^>]*>', again.content.decode())
    assert 'value="122"' in switch
    assert not re.search(r"\schecked[\s>]", switch)
    assert clerk.post(quantity, {"quantity": "120"}).status_code == 302
    assert clerk.post(quantity, {"quantity": "4711", "how": "replace", "sure": "4711"}).status_code == 302
    assert fetch("SELECT counted FROM inventory_countline") == [(4711,)]


def test_a_count_is_abandoned_and_a_line_removed(clerk):
    mug = factories.product(sku="MUG", stock=10)
    enter = opened(clerk)
    clerk.post(enter, {"sku": "MUG"})
    assert clerk.get(f"{page_of('remove-line', enter)}?product={mug.id}").status_code == 200
    clerk.post(f"{page_of('remove-line', enter)}?product={mug.id}")
    assert "Removed the line of MUG (1 counted)." in clerk.get(enter).content.decode()
    gone = clerk.post(f"{page_of('remove-line', enter)}?product={mug.id}")
    assert (gone.status_code, "has no line in this count" in gone.content.decode()) == (422, True)
    clerk.post(enter, {"sku": "MUG"})

    clerk.post(page_of("abandon", enter))

    assert "Abandoned the count of MAIN: 1 line not posted." in clerk.get(COUNTS).content.decode()
    assert "abandoned" in clerk.get(COUNTS).content.decode()
    assert on_hand(mug.id) == {"MAIN": 10}


def test_what_cannot_be_is_said_above_the_form(clerk):
    factories.product(sku="MUG", stock=10)
    enter = opened(clerk)
    for given, said in (
        ({"sku": "NONE"}, "There is no product with the SKU NONE. It was not counted."),
        ({"sku": ""}, "This field is required"),
    ):
        response = clerk.post(enter, given)
        page = response.content.decode()
        assert (response.status_code, said in page) == (422, True)
        assert 'value="NONE"' not in page  # the next scan would be written behind it
    for product in ("999", "x", "", "9" * 30):
        assert clerk.get(f"{page_of('quantity', enter)}?product={product}").status_code == 404
        assert clerk.get(f"{enter}?product={product}").status_code == 200
    clerk.post(page_of("close", enter))
    closed = clerk.post(enter, {"sku": "MUG"})
    assert (closed.status_code, "This count is closed" in closed.content.decode()) == (422, True)
    unknown = "00000000-0000-7000-8000-000000000000"
    assert clerk.get(f"{COUNTS}{unknown}/enter/").status_code == 404
    assert fetch("SELECT count(*) FROM inventory_countline") == [(0,)]


def test_buttons_lead_to_pages_while_the_count_is_open(clerk):
    assert f'href="{COUNTS}open/"' in clerk.get(COUNTS).content.decode()
    count_id = opened(clerk).split("/")[-3]

    def buttons() -> set[str]:
        page = clerk.get(f"{COUNTS}{count_id}/change/").content.decode()
        return {step for step in ("enter", "close", "abandon") if f'href="{COUNTS}{count_id}/{step}/"' in page}

    assert buttons() == {"enter", "close", "abandon"}
    clerk.post(f"{COUNTS}{count_id}/close/")
    assert buttons() == set()


@pytest.mark.parametrize("group", [group for group in GROUPS if group not in ("Inventory clerk", "Inventory manager")])
def test_others_may_not_count(database, group):
    enter = opened(signed_in("Inventory clerk"))
    client = signed_in(group)
    for path in (f"{COUNTS}open/", enter, *(page_of(step, enter) for step in ("close", "abandon", "quantity"))):
        assert client.get(path).status_code == 403
        assert client.post(path, {"warehouse": "MAIN"}).status_code == 403
    assert fetch("SELECT count(*) FROM inventory_count WHERE closed_at IS NULL") == [(1,)]


def test_statements_do_not_grow_with_what_is_counted(clerk):
    enter = opened(clerk)
    counts = []
    for more in (1, 20):
        for _ in range(more):
            last = clerk.post(enter, {"sku": factories.product(stock=1).sku}).headers["Location"]
        clerk.get(enter)  # messages are shown once
        for path in (last, page_of("change", enter), page_of("close", enter)):
            with counted_statements() as statements:
                assert clerk.get(path).status_code == 200
            counts.append(len(statements))
    assert counts[:3] == counts[3:]
