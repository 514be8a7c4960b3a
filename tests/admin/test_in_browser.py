"""The staff's screens in a real browser: the main flows by keyboard and mouse, in light, in dark and on a phone.

Skipped where there is no Chromium; `apt install chromium` brings one.
"""

import shutil
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.contrib.auth.models import Group
from django.db import connections
from playwright.sync_api import Browser, Page, sync_playwright

from inventory import services as inventory
from shop.toolkit import transactions
from tests import factories
from tests.inventory.imports import on_hand
from users import models as user_models

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage"]
PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1300, "height": 900}

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium to look at the screens with"),
    pytest.mark.argon2,  # the server is a process of its own and knows the hashes of production only
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(autouse=True)
def _database_beside_the_browser(monkeypatch) -> Iterator[None]:
    """The browser's driver keeps an event loop in this thread; the tests' own queries are no part of it."""
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    yield
    connections.close_all()  # those of this loop; other tests have others


@pytest.fixture
def manager(server) -> str:
    return member_of("Inventory manager")


def member_of(group: str) -> str:
    account = factories.user(is_staff=True)
    user_models.User.objects.get(pk=account.id).groups.set(Group.objects.filter(name=group))
    return account.email


@pytest.fixture
def page(browser, server, manager) -> Iterator[Page]:
    """A page of somebody who has signed in."""
    context = browser.new_context(viewport=DESKTOP, base_url=server)
    page = context.new_page()
    sign_in(page, manager)
    yield page
    context.close()


def sign_in(page: Page, email: str) -> None:
    page.set_default_timeout(10_000)
    page.goto("/admin/")
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password").fill(factories.PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "login" not in url)


def test_stock_is_received_from_the_list_to_the_message(page):
    mug = factories.product(sku="MUG", stock=10)
    page.goto("/admin/inventory/item/")
    page.get_by_role("link", name="MUG", exact=True).click()
    page.get_by_role("link", name="Receive").click()
    page.get_by_label("Units that arrived").fill("5")
    page.get_by_label("Reference").fill("DN-7")
    page.keyboard.press("Enter")

    page.get_by_text("Received 5 into MAIN.").wait_for()
    assert page.get_by_role("cell", name="DN-7").is_visible()
    assert on_hand(mug.id) == {"MAIN": 15}


def test_a_file_is_loaded_by_what_it_would_change(page, tmp_path):
    mug = factories.product(sku="MUG", stock=10)
    path = tmp_path / "levels.csv"
    path.write_text("sku,quantity\nMUG,25\n")
    page.goto("/admin/inventory/stockimport/")
    page.get_by_role("link", name="Load a file").click()
    page.locator("input[type=file]").set_input_files(path)
    page.get_by_role("button", name="Check it").click()
    page.get_by_text("nothing is written yet").wait_for()
    assert page.get_by_role("cell", name="+15").is_visible()
    assert on_hand(mug.id) == {"MAIN": 10}

    page.get_by_role("link", name="Write these changes").click()
    page.get_by_role("button", name="Write them").click()
    page.get_by_text("Written.").wait_for()
    assert on_hand(mug.id) == {"MAIN": 25}

    page.get_by_role("link", name="Take it back").click()
    page.get_by_role("button", name="Take it back").click()
    page.get_by_text("Taken back: 1 rows").wait_for()
    assert on_hand(mug.id) == {"MAIN": 10}


PAGES = (
    "/admin/",
    "/admin/inventory/item/",
    "/admin/inventory/item/{id}/change/",
    "/admin/inventory/item/{id}/set/",
    "/admin/inventory/stockimport/",
    "/admin/inventory/stockimport/upload/",
    "/admin/inventory/warehouse/create/",
    "/admin/inventory/count/",
    "/admin/inventory/count/open/",
)
ORDER_PAGES = (
    "/admin/",
    "/admin/orders/order/",
    "/admin/orders/order/{id}/change/",
    "/admin/orders/order/{id}/fulfill/",
)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_every_page_fits_loads_nothing_from_elsewhere_and_has_no_serious_fault(
    browser, server, manager, scheme, viewport
):
    mug = factories.product(sku="MUG", stock=10)
    transactions.run(lambda: inventory.sell(product_id=mug.id, quantity=3, note="", reference="", actor_id=None))
    order = factories.order(factories.user(), (mug.id, 2))
    context = browser.new_context(viewport=viewport, base_url=server, color_scheme=scheme)
    requests, errors, faults = [], [], []
    for email, paths, key in ((manager, PAGES, mug.id), (member_of("Order desk"), ORDER_PAGES, order.id)):
        context.clear_cookies()
        page = context.new_page()
        page.on("request", lambda request: requests.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        sign_in(page, email)
        for path in paths:
            page.goto(path.format(id=key))
            assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"], path
            found = Axe().run(page).response["violations"]
            faults += [(path, fault["id"], fault["nodes"][0]["html"][:150]) for fault in found if is_serious(fault)]
        page.close()
    context.close()

    assert faults == []
    assert errors == []
    assert [url for url in requests if not url.startswith((server, "data:"))] == []


def is_serious(fault: dict) -> bool:
    return fault["impact"] in ("serious", "critical")
