"""A session that ends while somebody works, or goes on in another tab: nothing that was done is lost or done twice."""

from tests import factories
from tests.admin import browsing
from tests.admin.browsing import PHONE, faults_of, sign_in
from tests.inventory.imports import on_hand

pytestmark = browsing.MARKS


def test_who_signs_in_again_in_another_tab_sends_the_form_of_the_first_as_it_is(page, manager):
    mug = factories.product(sku="MUG", stock=10)
    page.goto(f"/admin/inventory/item/{mug.id}/receive/")
    page.get_by_label("Units that arrived").fill("5")
    page.context.clear_cookies()
    sign_in(page.context.new_page(), manager)

    page.keyboard.press("Enter")

    page.get_by_text("Received 5 into MAIN.").wait_for()
    assert on_hand(mug.id) == {"MAIN": 15}


def test_a_form_whose_token_is_out_of_date_is_answered_by_a_page_that_leads_back_to_it(page, manager):
    mug = factories.product(sku="MUG", stock=10)
    page.context.route("**/shop/forms.js", lambda route: route.abort())  # which would send the new token
    page.goto(f"/admin/inventory/item/{mug.id}/receive/")
    page.get_by_label("Units that arrived").fill("5")
    page.context.clear_cookies()
    sign_in(page.context.new_page(), manager)

    page.keyboard.press("Enter")

    page.get_by_role("heading", name="The form was not accepted").wait_for()
    assert on_hand(mug.id) == {"MAIN": 10}
    page.get_by_role("link", name="Open the page again").click()
    page.get_by_label("Units that arrived").fill("5")
    page.keyboard.press("Enter")
    page.get_by_text("Received 5 into MAIN.").wait_for()
    assert on_hand(mug.id) == {"MAIN": 15}


def test_a_file_that_is_too_large_is_answered_by_a_page(page, tmp_path):
    path = tmp_path / "levels.csv"
    path.write_bytes(b"sku,quantity\n" + b"MUG,1\n" * 4_000_000)
    page.set_viewport_size(PHONE)
    page.goto("/admin/inventory/stockimport/upload/")
    page.locator("input[type=file]").set_input_files(path)
    page.get_by_role("button", name="Check it").click()
    page.get_by_role("heading", name="Too much was sent").wait_for()
    page.get_by_text("At most 20,971,520 bytes are taken").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert faults_of(page) == []
