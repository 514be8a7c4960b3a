"""Fixtures of the tests in a real browser; see browsing.py."""

from collections.abc import Iterator

import pytest
from django.db import connections
from playwright.sync_api import Browser, Page, sync_playwright

from tests.admin.browsing import CHROMIUM, DESKTOP, FLAGS, member_of, sign_in


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(autouse=True)
def _database_beside_the_browser(request, monkeypatch) -> Iterator[None]:
    """The browser's driver keeps an event loop in this thread; the tests' own queries are no part of it."""
    if "browser" not in request.fixturenames:
        yield
        return
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    yield
    connections.close_all()  # those of this loop; other tests have others


@pytest.fixture
def manager(server) -> str:
    return member_of("Inventory manager")


@pytest.fixture
def page(browser, server, manager) -> Iterator[Page]:
    """A page of somebody who has signed in."""
    context = browser.new_context(viewport=DESKTOP, base_url=server)
    page = context.new_page()
    sign_in(page, manager)
    yield page
    context.close()
