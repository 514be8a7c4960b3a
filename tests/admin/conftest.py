"""Fixtures of the tests in a real browser; see browsing.py."""

from collections.abc import Callable, Iterator

import pytest
from django.db import connections
from playwright.sync_api import Browser, Page, sync_playwright

from tests.admin.browsing import CHROMIUM, DESKTOP, FLAGS, member_of, sign_in


@pytest.fixture(scope="module")
def _browser() -> Iterator[Callable[[], Browser]]:
    """A function that returns the browser, another one when a test has brought the last one down."""
    with sync_playwright() as playwright:
        started: list[Browser] = []

        def browser() -> Browser:
            if not started or not started[-1].is_connected():
                started.append(playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS))
            return started[-1]

        yield browser
        for one in started:
            one.close()


@pytest.fixture
def browser(_browser) -> Browser:
    return _browser()


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
