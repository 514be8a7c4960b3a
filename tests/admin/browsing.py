"""What tests in a real browser share; they are skipped where there is no Chromium (`apt install chromium`)."""

import shutil
from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.contrib.auth.models import Group
from playwright.sync_api import Page

from tests import factories
from users import models as user_models

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage"]
PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1300, "height": 900}

MARKS = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium to look at the screens with"),
    pytest.mark.argon2,  # the server is a process of its own and knows the hashes of production only
]


def member_of(group: str) -> str:
    account = factories.user(is_staff=True)
    user_models.User.objects.get(pk=account.id).groups.set(Group.objects.filter(name=group))
    return account.email


def sign_in(page: Page, email: str) -> None:
    page.set_default_timeout(10_000)
    page.goto("/admin/")
    enter(page, email)


def enter(page: Page, email: str) -> None:
    """Fill in the form of the door, which the page shows, and wait for what is behind it."""
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password").fill(factories.PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "login" not in url)


def latency_of(page: Page) -> Callable[[int], None]:
    """Return a function that sets how many milliseconds each request of a page takes, as in a far corner."""
    session = page.context.new_cdp_session(page)

    def let_take(milliseconds: int) -> None:
        conditions = {"offline": False, "latency": milliseconds, "downloadThroughput": -1, "uploadThroughput": -1}
        session.send("Network.emulateNetworkConditions", conditions)

    return let_take


def open_count(page: Page) -> None:
    """Open a count of the only warehouse, and wait until a scanner may begin."""
    page.goto("/admin/inventory/count/open/")
    page.get_by_role("button", name="Open").click()
    page.locator("#id_sku:focus").wait_for()


def scan(page: Page, code: str) -> None:
    """Type a code and Enter as scanners do, at once and without looking."""
    page.keyboard.type(code)
    page.keyboard.press("Enter")


def faults_of(page: Page) -> list[tuple[str, str, str]]:
    found = Axe().run(page).response["violations"]
    return [(page.url, fault["id"], fault["nodes"][0]["html"][:150]) for fault in found if is_serious(fault)]


def is_serious(fault: dict) -> bool:
    return fault["impact"] in ("serious", "critical")
