"""A session that ends while somebody works, or goes on in another tab: nothing that was done is lost or done twice."""

import pytest
from django.db import connection
from playwright.sync_api import Page

from benchmarks import production_server
from tests import factories
from tests.admin import browsing
from tests.admin.browsing import PHONE, enter, faults_of, latency_of, member_of, open_count, scan, sign_in
from tests.conftest import environment, fetch
from tests.inventory.imports import on_hand
from users import models as user_models
from users import second_factor

pytestmark = browsing.MARKS


@pytest.mark.long
def test_who_signs_in_again_in_another_tab_sends_the_form_of_the_first_as_it_is(page, manager):
    mug = factories.product(sku="MUG", stock=10)
    page.goto(f"/admin/inventory/item/{mug.id}/receive/")
    page.get_by_label("Units received").fill("5")
    page.context.clear_cookies()
    sign_in(page.context.new_page(), manager)

    page.keyboard.press("Enter")

    page.get_by_text("Received 5 units of MUG into MAIN.").wait_for()
    assert on_hand(mug.id) == {"MAIN": 15}


def test_a_form_whose_token_is_out_of_date_is_answered_by_a_page_that_leads_back_to_it(page, manager):
    mug = factories.product(sku="MUG", stock=10)
    page.context.route("**/shop/forms.js", lambda route: route.abort())  # which would send the new token
    page.goto(f"/admin/inventory/item/{mug.id}/receive/")
    page.get_by_label("Units received").fill("5")
    page.context.clear_cookies()
    sign_in(page.context.new_page(), manager)

    page.keyboard.press("Enter")

    page.get_by_role("heading", name="The form was not accepted").wait_for()
    assert on_hand(mug.id) == {"MAIN": 10}
    page.get_by_role("link", name="Open the page again").click()
    page.get_by_label("Units received").fill("5")
    page.keyboard.press("Enter")
    page.get_by_text("Received 5 units of MUG into MAIN.").wait_for()
    assert on_hand(mug.id) == {"MAIN": 15}


def test_a_file_that_is_too_large_is_answered_by_a_page(page, tmp_path):
    path = tmp_path / "levels.csv"
    path.write_bytes(b"sku,quantity\n" + b"MUG,1\n" * 4_000_000)
    page.set_viewport_size(PHONE)
    page.goto("/admin/inventory/stockimport/upload/")
    page.locator("input[type=file]").set_input_files(path)
    page.get_by_role("button", name="Check the file").click()
    page.get_by_role("heading", name="Too much was sent").wait_for()
    page.get_by_text("At most 20,971,520 bytes are taken").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert faults_of(page) == []


def end_sessions() -> None:
    """Sign everybody out as a day's end, or an operator, does: their browsers keep their cookies."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_session")


def counted() -> dict[str, int]:
    return dict(fetch("SELECT i.sku, l.counted FROM inventory_countline l JOIN inventory_item i USING (product_id)"))


@pytest.fixture
def shelf(page) -> Page:
    """A page on which somebody has begun to count MUG and POT."""
    for sku in ("MUG", "POT"):
        factories.product(sku=sku, stock=10)
    open_count(page)
    scan(page, "MUG")
    page.get_by_text("Products counted: 1, units: 1.").wait_for()
    return page


def test_a_session_that_ends_while_scans_are_on_their_way_loses_none_and_counts_none_twice(shelf, manager):
    latency_of(shelf)(200)
    for number in range(12):
        scan(shelf, "POT" if number % 2 else "MUG")
        if number == 5:
            end_sessions()
        shelf.wait_for_timeout(50)
    shelf.get_by_text("You are signed out. Leave this page open").wait_for()
    before = counted()
    assert sum(before.values()) < 13
    with shelf.context.expect_page() as opened:
        shelf.get_by_role("link", name="Sign in (in a new tab)").click()
    scan(shelf, "MUG")  # the link has the focus, and the scanner goes on
    door = opened.value
    assert counted() == before

    enter(door, manager)

    assert door.url == shelf.url.partition("?")[0]  # the same count
    shelf.get_by_text("Products counted: 2, units: 14.").wait_for()
    door.wait_for_timeout(1500)
    assert counted() == {"MUG": 8, "POT": 6}
    assert shelf.locator("#scan-waits").inner_text() == ""
    assert not shelf.locator("#scan-sign-in").is_visible()
    assert shelf.locator("#scan-refused li").count() == 0
    assert fetch("SELECT count(*) FROM django_admin_log")[0][0] == 15  # 14 scans, and the count itself
    scan(shelf, "POT")
    shelf.get_by_text("Products counted: 2, units: 15.").wait_for()


def test_who_signs_in_on_the_tab_itself_comes_back_to_the_count_and_its_scans(shelf, manager):
    # The network goes: the answer to the first scan is lost after the server has counted it. Then the session ends.
    lost = []

    def lose(route):
        if route.request.method == "POST" and not lost:
            lost.append(route.fetch().status)
        route.abort()

    shelf.route("**/enter/**", lose)
    for code in ("MUG", "POT", "NONE"):
        scan(shelf, code)
    shelf.get_by_text("Not sent yet: MUG, POT, NONE. The server does not answer.").wait_for()
    assert lost
    end_sessions()
    shelf.unroute("**/enter/**")
    shelf.get_by_text("Not sent yet: MUG, POT, NONE. You are signed out.").wait_for()
    shelf.on("dialog", lambda dialog: dialog.accept())
    shelf.reload()
    assert "/admin/login/?next=" in shelf.url

    enter(shelf, manager)

    shelf.get_by_text("Products counted: 2, units: 3.").wait_for()
    shelf.wait_for_function("document.querySelectorAll('#scan-refused li').length === 1")
    assert counted() == {"MUG": 2, "POT": 1}


@pytest.mark.long
def test_another_account_that_signs_in_sends_no_scans_of_the_first_and_loses_none(shelf, manager):
    other = member_of("Inventory clerk")
    end_sessions()
    sign_in(shelf.context.new_page(), other)
    # Also where the form has the other's token by now, so that nothing but its key is still of the first.
    token = "document.cookie.match(/csrftoken=([^;]+)/)[1]"
    shelf.evaluate(f"document.querySelector('#scan [name=csrfmiddlewaretoken]').value = {token}")
    for code in ("POT", "POT"):
        scan(shelf, code)
    shelf.get_by_text(f"Not sent yet: POT, POT. {manager} scanned them, and {other} is signed in now.").wait_for()
    assert shelf.locator("#scan-refused li").count() == 0

    # On the same tab the other counts, and is told of what waits there.
    shelf.on("dialog", lambda dialog: dialog.accept())
    shelf.reload()
    shelf.get_by_text(f"Not sent: POT, POT. {manager} scanned them in this tab").wait_for()
    scan(shelf, "MUG")
    shelf.get_by_text("Products counted: 1, units: 2.").wait_for()
    assert counted() == {"MUG": 2}

    end_sessions()
    shelf.reload()
    enter(shelf, manager)
    shelf.get_by_text("Products counted: 2, units: 4.").wait_for()
    assert counted() == {"MUG": 2, "POT": 2}
    who = "SELECT u.email, count(*) FROM django_admin_log l JOIN users_user u ON u.id = l.user_id GROUP BY 1"
    assert dict(fetch(who)) == {manager: 4, other: 1}


@pytest.mark.long
def test_what_another_left_in_a_tab_can_be_discarded(shelf, manager):
    end_sessions()
    scan(shelf, "POT")
    shelf.get_by_text("Not sent yet: POT. You are signed out.").wait_for()
    shelf.on("dialog", lambda dialog: dialog.accept())
    shelf.reload()
    enter(shelf, member_of("Inventory clerk"))
    shelf.get_by_role("button", name="Discard them").click()
    end_sessions()
    shelf.reload()
    enter(shelf, manager)
    shelf.locator("#id_sku:focus").wait_for()
    shelf.wait_for_timeout(1000)
    assert counted() == {"MUG": 1}


@pytest.mark.long
def test_a_copied_tab_keeps_nothing_of_what_another_left_in_the_first(shelf):
    end_sessions()
    scan(shelf, "POT")
    shelf.get_by_text("Not sent yet: POT. You are signed out.").wait_for()
    shelf.on("dialog", lambda dialog: dialog.accept())
    shelf.reload()
    enter(shelf, member_of("Inventory clerk"))
    shelf.get_by_text("Not sent: POT.").wait_for()
    with shelf.expect_popup() as opened:
        shelf.evaluate("() => { window.open(location.href) }")
    copy = opened.value
    copy.wait_for_function("Object.keys(sessionStorage).filter((name) => name.includes('/enter/')).length === 1")
    assert copy.locator("#scan-others").inner_text() == ""
    assert shelf.locator("#scan-others").inner_text() != ""


def test_who_may_not_count_any_more_is_told_so_and_loses_no_scan(shelf, manager):
    row = user_models.User.objects.get(email=manager)
    groups = list(row.groups.all())
    row.groups.clear()
    scan(shelf, "POT")
    shelf.get_by_text("Not sent yet: POT. You no longer have permission to count here.").wait_for()
    row.groups.set(groups)
    shelf.get_by_text("Products counted: 2, units: 2.").wait_for()
    assert counted() == {"MUG": 1, "POT": 1}


@pytest.mark.long
def test_where_a_second_factor_is_needed_scans_wait_for_it_too(browser, database):
    mug = factories.product(sku="MUG", stock=10)
    email = member_of("Inventory clerk")
    codes = iter(second_factor.renew_second_factor(email)[1])
    with production_server(SECOND_FACTOR="on", DATABASE_URL=environment()["DATABASE_URL"]) as address:
        page = browser.new_context(viewport=PHONE, base_url=address).new_page()
        page.goto("/admin/inventory/count/open/")
        page.get_by_label("Code of your authenticator app").fill(next(codes))
        enter(page, email)
        open_count(page)
        end_sessions()
        scan(page, "MUG")
        page.get_by_text("Not sent yet: MUG. You are signed out.").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        assert faults_of(page) == []
        with page.context.expect_page() as opened:
            page.get_by_role("link", name="Sign in (in a new tab)").click()
        opened.value.get_by_label("Code of your authenticator app").fill(next(codes))
        enter(opened.value, email)
        page.get_by_text("Products counted: 1, units: 1.").wait_for()
        page.context.close()
    assert fetch("SELECT product_id, counted FROM inventory_countline") == [(mug.id, 1)]
