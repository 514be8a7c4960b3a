"""A walk through the screens as each group: every link that a page shows leads somewhere, and to a page for people."""

import re
from html import unescape

import pytest

from inventory.stock import warehouses
from shop.toolkit.callers import User
from tests import factories
from tests.admin.staff_client import GROUPS, signed_in
from tests.inventory.imports import loaded

LINK = re.compile(r'<a\b[^>]*?\bhref="(/admin/[^"#]*)"', re.DOTALL)
# Signing out ends the walk; each sorting and filter of a list is one more of the same page.
PASSED_BY = re.compile(r"/admin/(logout|jsi18n|password_change)/")


@pytest.fixture
def shop(database):
    """A shop with a row of each kind."""
    factories.warehouse("EAST")
    product = factories.product(sku="MUG", stock={"MAIN": 9, "EAST": 2})
    factories.order(factories.user(), (product.id, 2))
    factories.reservation((product.id, 1), owner="api")
    loaded("sku,quantity,warehouse\nMUG,8,MAIN\nNONE,1,MAIN\n", on_error="skip")


@pytest.mark.parametrize("group", [*GROUPS, ""])
def test_every_link_leads_somewhere(shop, group):
    seen = walk(signed_in(group))
    lists = {path.split("/")[2:4][-1] for path in seen if path.count("/") == 4}
    assert ("order" in lists) == (group in ("Order desk", "Payments")), lists
    assert ("item" in lists) == (group not in ("Payments", "")), lists


@pytest.mark.long
@pytest.mark.parametrize("group", GROUPS)
def test_every_link_leads_somewhere_for_who_works_in_one_warehouse(shop, group):
    client = signed_in(group)
    warehouses.set_scope(client.user_id, warehouses=["EAST"], caller=User(0))
    walk(client)


def walk(client) -> set[str]:
    """Follow every link from the first page on; return the addresses."""
    waiting, seen = ["/admin/"], set()
    while waiting:
        address = waiting.pop()
        page = client.get(address)
        text = b"".join(page.streaming_content) if page.streaming else page.content
        assert page.status_code in (200, 302), (address, page.status_code)
        if page.headers.get("Content-Disposition", "").startswith("attachment"):
            continue
        assert "json" not in page.headers["Content-Type"], address
        for link in LINK.findall(text.decode()):
            found = unescape(link).partition("?")[0]
            if found not in seen and not PASSED_BY.match(found):
                seen.add(found)
                waiting.append(found)
    assert len(seen) < 300
    return seen
