"""The staff's screens in a real browser: the main flows by keyboard and mouse, in light, in dark and on a phone.

Skipped where there is no Chromium; `apt install chromium` brings one.
"""

import re
import subprocess
import sys

import pytest
from django.utils import timezone

from benchmarks import ROOT
from inventory import services as inventory
from inventory.counts import counting
from inventory.stock import ledger, warehouses
from orders import lifecycle
from shop.toolkit.callers import SYSTEM, System, User
from shop.toolkit.db import transactions
from shop.toolkit.ids import new_id
from tests import factories
from tests.admin import browsing
from tests.admin.browsing import DESKTOP, PHONE, faults_of, latency_of, member_of, open_count, scan, sign_in
from tests.admin.form_pages import slugs_of_pages
from tests.conftest import environment, fetch, wait_until
from tests.inventory.imports import on_hand

pytestmark = browsing.MARKS


def test_stock_is_received_from_the_list_to_the_message(page):
    mug = factories.product(sku="MUG", stock=10)
    page.goto("/admin/inventory/item/")
    page.get_by_role("link", name="MUG", exact=True).click()
    page.get_by_role("link", name="Receive").click()
    page.get_by_label("Units received").fill("5")
    page.get_by_label("Reference").fill("DN-7")
    page.keyboard.press("Enter")

    page.get_by_text("Received 5 units of MUG into MAIN.").wait_for()
    assert page.get_by_role("cell", name="DN-7").is_visible()
    assert on_hand(mug.id) == {"MAIN": 15}


def test_the_page_of_a_large_file_shows_what_it_would_change_once_the_worker_has_checked_it(page, tmp_path):
    factories.product(sku="MUG", stock=10)
    path = tmp_path / "levels.csv"
    path.write_text("sku,quantity\nMUG,25\n" + "".join(f"NONE-{number},1\n" for number in range(1_000)))
    page.goto("/admin/inventory/stockimport/upload/")
    page.locator("input[type=file]").set_input_files(path)
    page.get_by_role("button", name="Check the file").click()
    page.get_by_role("status").get_by_text("The rows are being checked.").wait_for()
    assert page.get_by_role("cell", name="+15").count() == 0

    subprocess.run([sys.executable, "manage.py", "work", "--once"], cwd=ROOT, env=environment(), check=True)

    page.get_by_role("cell", name="+15").wait_for()  # without a click
    assert page.get_by_role("status").count() == 0


def test_a_file_is_loaded_by_what_it_would_change(page, tmp_path):
    mug = factories.product(sku="MUG", stock=10)
    path = tmp_path / "levels.csv"
    path.write_text("sku,quantity\nMUG,25\n")
    page.goto("/admin/inventory/stockimport/")
    page.get_by_role("link", name="Load a file").click()
    page.locator("input[type=file]").set_input_files(path)
    page.get_by_role("button", name="Check the file").click()
    page.get_by_text("nothing is applied yet").wait_for()
    assert page.get_by_role("cell", name="+15").is_visible()
    assert on_hand(mug.id) == {"MAIN": 10}

    page.get_by_role("link", name="Apply these changes").click()
    page.get_by_role("button", name="Apply them").click()
    page.get_by_text("Applied 1 row of").wait_for()
    assert on_hand(mug.id) == {"MAIN": 25}

    page.get_by_role("link", name="Undo the import").click()
    page.get_by_role("button", name="Undo the import").click()
    page.get_by_text("Undid 1 row of").wait_for()
    assert on_hand(mug.id) == {"MAIN": 10}


def test_stock_is_moved_written_off_and_set_where_nobody_was_faster(page):
    factories.warehouse("EAST")
    mug = factories.product(sku="MUG", stock=10)
    page.goto(f"/admin/inventory/item/{mug.id}/change/")
    page.get_by_role("link", name="Transfer").click()
    page.get_by_label("To").select_option("EAST")
    page.get_by_label("Units").fill("4")
    page.keyboard.press("Enter")
    page.get_by_text("Moved 4 units of MUG from MAIN to EAST.").wait_for()

    page.get_by_role("link", name="Write off").click()
    page.get_by_label("Units to write off").fill("1")
    page.get_by_label("Note").fill("dropped")
    page.get_by_role("button", name="Write off").click()
    page.get_by_text("Wrote off 1 unit of MUG in MAIN (damaged)").wait_for()

    page.get_by_role("link", name=re.compile("Set$")).click()  # the form says what is on hand: 5
    transactions.run(
        lambda: ledger.receive(
            product_id=mug.id, levels=[inventory.Level("MAIN", 2)], caller=SYSTEM, reference="", note=""
        )
    )
    page.get_by_label(re.compile(r"Units on hand\W*$")).fill("3")
    page.get_by_role("button", name="Set").click()
    page.get_by_role("alert").get_by_text("Last change: receive (+2)").wait_for()
    page.get_by_label("Expected units on hand").fill("7")
    page.get_by_role("button", name="Set").click()
    page.get_by_text("Set MUG in MAIN to 3 on hand").wait_for()
    assert on_hand(mug.id) == {"MAIN": 3, "EAST": 4}


def test_the_quantity_until_now_is_that_of_the_warehouse_that_is_chosen_by_keyboard(page):
    factories.warehouse("EAST")
    factories.warehouse("WEST")
    mug = factories.product(sku="MUG", stock={"MAIN": 10, "EAST": 7})
    page.goto(f"/admin/inventory/item/{mug.id}/set/")
    until_now = page.get_by_label("Expected units on hand")
    page.get_by_label(re.compile(r"Units on hand\W*$")).fill("4")
    assert until_now.input_value() == "10"
    place = page.get_by_label("Warehouse")
    place.focus()
    for key, units in (("ArrowDown", "7"), ("ArrowDown", "0"), ("ArrowUp", "7"), ("ArrowUp", "10"), ("E", "7")):
        page.keyboard.press(key)
        assert until_now.input_value() == units, key
    assert page.get_by_label(re.compile(r"Units on hand\W*$")).input_value() == "4"
    page.get_by_role("button", name="Set").click()
    page.get_by_text("Set MUG in EAST to 4 on hand").wait_for()
    assert on_hand(mug.id) == {"MAIN": 10, "EAST": 4}


def test_a_set_form_without_its_script_or_after_back_compares_with_no_other_warehouse(page):
    factories.warehouse("EAST")
    mug = factories.product(sku="MUG", stock={"MAIN": 10, "EAST": 7})
    path = f"/admin/inventory/item/{mug.id}/set/"

    def set_in_east() -> None:
        page.get_by_label("Warehouse").select_option("EAST")
        page.get_by_label(re.compile(r"Units on hand\W*$")).fill("4")

    page.goto(path)
    set_in_east()
    page.goto("/admin/")
    page.go_back()  # the browser fills in what was chosen
    page.wait_for_function(
        "document.getElementById('id_expected_for').value === document.getElementById('id_warehouse').value"
    )
    assert (
        page.get_by_label("Expected units on hand").input_value()
        == {"EAST": "7", "MAIN": "10"}[page.get_by_label("Warehouse").input_value()]
    )

    page.context.route("**/inventory/set.js", lambda route: route.abort())
    page.goto(path)
    set_in_east()
    page.get_by_role("button", name="Set").click()
    page.get_by_role("alert").get_by_text("EAST has 7 on hand.").wait_for()
    assert page.get_by_label("Expected units on hand").input_value() == "7"
    page.get_by_role("button", name="Set").click()
    page.get_by_text("Set MUG in EAST to 4 on hand").wait_for()
    assert on_hand(mug.id) == {"MAIN": 10, "EAST": 4}


@pytest.mark.long
def test_forty_skus_are_counted_by_a_scanner_on_a_slow_network_with_a_mis_scan_in_the_middle(page):
    skus = [f"SHELF-{number:02}" for number in range(40)]
    products = {sku: factories.product(sku=sku, stock=1).id for sku in skus}
    page.goto("/admin/inventory/count/")
    page.get_by_role("link", name="Open a count").click()
    page.get_by_role("button", name="Open").click()
    page.locator("#id_sku:focus").wait_for()
    latency_of(page)(150)
    for place, sku in enumerate(skus):
        scan(page, sku)
        if place == 20:
            scan(page, "4006381333931")  # somebody else's barcode
        if place == 30:
            scan(page, sku)  # a second unit of it
        page.wait_for_timeout(100)
    page.get_by_text("Scans being sent").wait_for()
    page.get_by_text("Products counted: 40, units: 41.").wait_for(timeout=60_000)

    assert page.locator("#scan-refused li").all_inner_texts() == [
        "4006381333931: There is no product with the SKU 4006381333931. It was not counted."
    ]
    assert page.locator("#id_sku:focus").is_visible()
    counted = "SELECT i.sku, l.counted FROM inventory_countline l JOIN inventory_item i USING (product_id)"
    assert dict(fetch(counted)) == {sku: 2 if sku == "SHELF-30" else 1 for sku in skus}

    # The last one was 5: entered explicitly, beside what the book says and what was counted before.
    page.get_by_text("1 on record now; 1 counted").wait_for()
    page.get_by_label("Quantity").fill("5")
    page.get_by_label("How to enter it").select_option("replace")
    page.get_by_role("button", name="Enter the quantity").click()
    page.get_by_text("SHELF-39 Product").first.wait_for()
    page.get_by_role("link", name="Review and close").click()
    page.get_by_text("Open lines: 40. Different from the record: 2").wait_for()
    page.get_by_role("button", name="Post the differences and close").dblclick()
    page.get_by_text("Posted 40 lines; 2 of them corrected the stock. The count is closed.").wait_for()
    assert {sku: on_hand(product_id)["MAIN"] for sku, product_id in products.items()} == {
        sku: {"SHELF-30": 2, "SHELF-39": 5}.get(sku, 1) for sku in skus
    }


def test_a_code_that_is_scanned_into_the_quantity_is_asked_about(page):
    factories.product(sku="4711", stock=3)
    factories.product(sku="SHELF 12", stock=3)
    mug = factories.product(sku="MUG", stock=10)
    open_count(page)
    scan(page, "MUG")
    page.get_by_text("Products counted: 1, units: 1.").wait_for()
    for code in ("4711", "SHELF 12"):
        page.get_by_label("Quantity").click()
        page.get_by_label("Quantity").fill("")
        scan(page, code)
        page.get_by_role("alert").get_by_text(f"{code} is the SKU of").wait_for()
        assert fetch("SELECT product_id, counted FROM inventory_countline") == [(mug.id, 1)]
    # What is scanned next is counted.
    page.locator("#id_sku:focus").wait_for()
    scan(page, "4711")
    page.get_by_text("Products counted: 2, units: 2.").wait_for()


def test_scans_wait_while_the_network_or_the_session_is_gone_and_are_counted_once(page, manager, server):
    mug = factories.product(sku="MUG", stock=10)
    open_count(page)
    scan(page, "MUG")
    page.get_by_text("Products counted: 1, units: 1.").wait_for()

    # The answer to the second is lost after the server has counted it.
    lost = []

    def lose(route):
        if route.request.method == "POST" and not lost:
            lost.append(route.fetch().status)
            route.abort()
        else:
            route.continue_()

    page.route("**/enter/*", lose)
    page.route("**/enter/", lose)
    scan(page, "MUG")
    page.get_by_text("Products counted: 1, units: 2.").wait_for()
    assert lost

    # Nobody is signed in any more; in another tab somebody is again.
    page.context.clear_cookies()
    for code in ("MUG", "NONE", "MUG"):
        scan(page, code)
    page.get_by_text("Not sent yet: MUG, NONE, MUG.").wait_for()
    assert page.locator("#scan-refused li").count() == 0
    other = page.context.new_page()
    sign_in(other, manager)
    page.get_by_text("Products counted: 1, units: 4.").wait_for()
    assert page.locator("#scan-refused li").count() == 1
    assert page.locator("#scan-waits").inner_text() == ""
    assert fetch("SELECT product_id, counted FROM inventory_countline") == [(mug.id, 4)]


@pytest.mark.long
def test_what_is_typed_beside_the_scanner_stays_and_waiting_scans_outlive_a_reload(page):
    factories.product(sku="MUG", stock=10)
    open_count(page)
    scan(page, "MUG")
    page.get_by_text("Products counted: 1, units: 1.").wait_for()
    latency_of(page)(400)
    for _ in range(5):
        scan(page, "MUG")
    page.get_by_label("Quantity").click()
    page.keyboard.type("7")
    page.wait_for_timeout(1500)
    assert page.get_by_label("Quantity").input_value() == "7"

    page.on("dialog", lambda dialog: dialog.accept())
    page.reload()
    page.get_by_text("Products counted: 1, units: 6.").wait_for()
    assert fetch("SELECT counted FROM inventory_countline") == [(6,)]


@pytest.mark.long
def test_what_is_asked_for_while_scans_wait_comes_after_them(page):
    factories.product(sku="MUG", stock=10)
    open_count(page)
    scan(page, "MUG")
    page.get_by_text("Products counted: 1, units: 1.").wait_for()
    latency_of(page)(300)

    # A quantity that replaces what was counted replaces these four as well.
    for _ in range(4):
        scan(page, "MUG")
    page.get_by_label("Quantity").fill("7")
    page.get_by_label("How to enter it").select_option("replace")
    page.get_by_role("button", name="Enter the quantity").click()
    page.get_by_text("The page you asked for follows.").wait_for()
    page.get_by_text("Products counted: 1, units: 7.").wait_for()
    assert fetch("SELECT counted FROM inventory_countline") == [(7,)]

    # A review shows the scans before it.
    page.locator("#id_sku:focus").wait_for()
    for _ in range(4):
        scan(page, "MUG")
    page.get_by_role("link", name="Review and close").click()
    page.get_by_text("Open lines: 1.").wait_for()
    assert fetch("SELECT counted FROM inventory_countline") == [(11,)]


@pytest.mark.long
def test_a_copied_tab_sends_no_scan_again_and_what_was_refused_stays_until_it_is_cleared(page):
    factories.product(sku="MUG", stock=10)
    open_count(page)
    scan(page, "NONE")
    refused = page.locator("#scan-refused li")
    refused.wait_for()
    page.locator("body").evaluate("() => document.activeElement.blur()")
    scan(page, "MUG")  # into no field
    page.get_by_text("Products counted: 1, units: 1.").wait_for()

    page.route("**/enter/*", lambda route: route.abort() if route.request.method == "POST" else route.continue_())
    for _ in range(3):
        scan(page, "MUG")
    page.get_by_text("Not sent yet: MUG, MUG, MUG.").wait_for()
    with page.expect_popup() as opened:
        page.evaluate("() => { window.open(location.href) }")
    copy = opened.value
    copy.locator("#id_sku:focus").wait_for()
    copy.wait_for_timeout(2500)
    assert fetch("SELECT counted FROM inventory_countline") == [(1,)]
    page.unroute("**/enter/*")
    page.get_by_text("Products counted: 1, units: 4.").wait_for()
    copy.wait_for_timeout(1500)
    assert fetch("SELECT counted FROM inventory_countline") == [(4,)]

    page.reload()
    refused.wait_for()
    page.get_by_role("button", name="Clear this list").click()
    page.reload()
    page.locator("#id_sku:focus").wait_for()
    assert (refused.count(), page.get_by_role("button", name="Clear this list").count()) == (0, 0)


def test_who_scans_into_a_count_that_somebody_else_closed_is_told_of_each(page):
    mug = factories.product(sku="MUG", stock=10)
    open_count(page)
    count_id = fetch("SELECT id FROM inventory_count")[0][0]
    transactions.run(lambda: counting.abandon_count(count_id, caller=SYSTEM))
    for _ in range(3):
        scan(page, "MUG")
    page.wait_for_function("document.querySelectorAll('#scan-refused li').length === 3")
    assert set(page.locator("#scan-refused li").all_inner_texts()) == {"MUG: This count is closed. Open a new one."}
    page.reload()
    page.get_by_text("This count is closed. Open a new one.").first.wait_for()
    assert on_hand(mug.id) == {"MAIN": 10}


def forms(mug: int, hold: object, order: object, pending: object, counts: list, user: int, places: dict) -> dict:
    """Return every page with a form that changes something, and what is to be filled in beside what is there."""
    item, count = f"/admin/inventory/item/{mug}", "/admin/inventory/count"
    return {
        f"{item}/receive/": {"quantity": "5"},
        f"{item}/adjust/": {"delta": "-1"},
        f"{item}/set/": {"quantity": "20"},
        f"{item}/write-off/": {"quantity": "1"},
        f"{item}/transfer/": {"quantity": "1", "to_warehouse": "EAST"},
        f"{item}/set-apart/": {"quantity": "2", "what": "aside"},
        f"{item}/discard/": {"quantity": "1"},
        "/admin/inventory/stockimport/upload/": {"file": "sku,quantity\nMUG,25\n", "warehouse": "MAIN"},
        "IMPORT/approve/": {},
        "IMPORT/undo/": {},
        f"{count}/open/": {},
        f"{count}/{counts[0]}/enter/": {"sku": "MUG"},
        f"{count}/{counts[0]}/quantity/?product={mug}": {"quantity": "4"},
        f"{count}/{counts[1]}/remove-line/?product={mug}": {},
        f"{count}/{counts[1]}/close/": {},
        f"{count}/{counts[2]}/abandon/": {},
        "/admin/inventory/warehouse/create/": {"code": "NEW"},
        f"/admin/inventory/warehouse/{places['EAST']}/edit/": {"priority": "7"},
        f"/admin/inventory/warehouse/{places['GONE']}/remove/": {},
        f"/admin/inventory/warehousescope/set-scope/?member={user}": {},
        f"/admin/inventory/reservation/{hold}/end/": {"reason": "a bot"},
        f"/admin/orders/order/{pending}/confirm/": {"payment_reference": "pay_1"},
        f"/admin/orders/order/{order}/fulfill/": {f"units_{mug}": "2"},
        f"/admin/orders/order/{order}/take-back/": {f"units_{mug}": "1"},
        f"/admin/orders/order/{order}/cancel/": {"reason": "no"},
        f"/admin/users/user/{user}/access/": {},
    }


@pytest.mark.long
def test_a_double_click_on_a_slow_network_is_one_change_on_every_form(browser, server, database, tmp_path):
    boss = factories.user(is_staff=True, is_superuser=True)
    for code in ("EAST", "GONE"):
        factories.warehouse(code)
    mug = factories.product(sku="MUG", stock=10)
    counts = [counting.open_count(count_id=new_id(), warehouse="MAIN", note="", caller=SYSTEM).id for _ in range(3)]
    for count_id in counts[1:]:
        counting.record_count(count_id, product_id=mug.id, counted=10, caller=SYSTEM)
    buyer = factories.user(is_staff=True)
    order, pending = factories.order(buyer, (mug.id, 3)), factories.order(buyer, (mug.id, 1))
    transactions.run(
        lambda: lifecycle.confirm_order(order.id, caller=System(boss.id), payment_reference="", now=timezone.now())
    )
    hold = factories.reservation((mug.id, 1))
    places = dict(fetch("SELECT code, id FROM inventory_warehouse"))
    context = browser.new_context(viewport=DESKTOP, base_url=server)
    page = context.new_page()
    sign_in(page, boss.email)
    sent, latency = [], latency_of(page)
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    history = "SELECT count(*) FROM django_admin_log"
    done: set[str] = set()
    document = ""  # of the import, which is there once it is uploaded
    for found, values in forms(mug.id, hold.id, order.id, pending.id, counts, buyer.id, places).items():
        path = found.replace("IMPORT/", document)
        page.goto(path)
        for name, value in values.items():
            field = page.locator(f"form[method=post] [name={name}]").last
            if name == "file":
                (tmp_path / "levels.csv").write_text(value)
                field.set_input_files(tmp_path / "levels.csv")
            elif field.get_attribute("type") == "radio":
                page.locator(f"form[method=post] [name={name}][value={value}]").check()
            elif field.evaluate("field => field.tagName") == "SELECT":
                field.select_option(value)
            else:
                field.fill(value)
        before = fetch(history)[0][0]
        sent.clear()
        latency(600)
        page.locator("#content form[method=post] button[type=submit]").last.dblclick(delay=30)
        wait_until(lambda before=before: fetch(history)[0][0] > before, seconds=10)
        latency(0)
        page.wait_for_load_state("networkidle")
        assert (len(sent), fetch(history)[0][0]) == (1, before + 1), path
        done.add(path.partition("?")[0].rstrip("/").rsplit("/", 1)[1])
        if "upload" in path:
            document = page.url.replace("change/", "")
    context.close()
    assert done == slugs_of_pages()
    assert on_hand(mug.id) == {"MAIN": 16, "EAST": 1}
    assert fetch("SELECT sum(counted) FROM inventory_countline WHERE count_id = %s", counts[0]) == [(4,)]


def test_without_the_script_that_turns_the_button_off_the_key_alone_makes_it_one_change(page):
    mug = factories.product(sku="MUG", stock=10)
    page.context.route("**/shop/forms.js", lambda route: route.abort())
    sent = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    page.goto(f"/admin/inventory/item/{mug.id}/receive/")
    page.get_by_label("Units received").fill("5")
    latency_of(page)(600)
    press = 'document.querySelector("#content form[method=post] button[type=submit]").click()'
    page.evaluate(f"{press}; setTimeout(() => {press}, 200)")
    # The browser shows the answer to the second; which of the two was done is a matter of luck.
    page.get_by_text("Received 5 units of MUG into MAIN.").first.wait_for()
    page.wait_for_load_state("networkidle")
    assert (len(sent), on_hand(mug.id)) == (2, {"MAIN": 15})


def test_back_and_submit_again_is_one_change_and_a_new_visit_is_another(page):
    mug = factories.product(sku="MUG", stock=10)
    path = f"/admin/inventory/item/{mug.id}/receive/"

    def receive() -> None:
        page.get_by_label("Units received").fill("5")
        page.get_by_role("button", name="Receive").click()

    page.goto(path)
    receive()
    page.get_by_text("Received 5 units of MUG into MAIN.").wait_for()
    page.go_back()
    receive()
    page.get_by_text(re.compile(r"Already done at \d\d:\d\d UTC: Received 5 units of MUG into MAIN\.")).wait_for()
    assert on_hand(mug.id) == {"MAIN": 15}
    page.go_back()
    page.reload()
    receive()
    page.get_by_text("Received 5 units of MUG into MAIN.", exact=True).wait_for()
    assert on_hand(mug.id) == {"MAIN": 20}
    page.goto(path)
    receive()
    page.get_by_text("Received 5 units of MUG into MAIN.", exact=True).wait_for()
    assert on_hand(mug.id) == {"MAIN": 25}


def test_a_damaged_return_is_put_back_or_discarded(page):
    mug = factories.product(sku="MUG", stock=10)
    order = factories.order(factories.user(), (mug.id, 3))
    done = {"caller": System(factories.user().id), "now": timezone.now()}
    units = [inventory.Demand(mug.id, 3)]
    transactions.run(lambda: lifecycle.confirm_order(order.id, payment_reference="", **done))
    transactions.run(lambda: lifecycle.fulfill_order(order.id, items=units, **done))
    transactions.run(lambda: lifecycle.return_items(order.id, items=units, resalable=False, note="", **done))
    page.goto(f"/admin/inventory/item/{mug.id}/change/")
    page.get_by_role("link", name="Set aside or put back").click()
    assert page.get_by_role("row", name="MAIN 10 3 7").is_visible()
    page.get_by_label("Put back: for sale again").check()
    page.get_by_label(re.compile(r"Units\W*$")).fill("1")
    page.get_by_label("Reason").select_option("found")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("Put back 1 unit of MUG in MAIN (found): 10 on hand, 2 of them unavailable.").wait_for()

    page.get_by_role("link", name="Discard").click()
    page.get_by_label("Unavailable units to discard").fill("2")
    page.get_by_label("Note").fill("broken handle")
    page.get_by_role("button", name="Discard").click()
    page.get_by_text("Discarded 2 units of MUG in MAIN (damaged): 8 on hand, 0 of them unavailable.").wait_for()
    assert page.get_by_role("cell", name="-2 → 0").is_visible(), "the ledger shows what is unavailable"
    assert on_hand(mug.id) == {"MAIN": 8}


def test_a_hold_is_released_from_the_item_with_a_reason(page):
    mug = factories.product(sku="MUG", stock=10)
    hold = factories.reservation((mug.id, 4), reference="cart-7")
    page.goto(f"/admin/inventory/item/{mug.id}/change/")
    page.get_by_role("link", name="cart-7").click()
    page.get_by_role("link", name="Release the hold").click()
    page.get_by_label("Reason").fill("a bot")
    page.keyboard.press("Enter")
    page.get_by_text("Released the hold of cart-7: a bot.").wait_for()
    assert inventory.get_reservation(hold.id, caller=SYSTEM).state == "expired"


def test_a_clerk_is_given_a_warehouse_and_sees_no_other(page, browser, server):
    factories.warehouse("EAST")
    mug = factories.product(sku="MUG", stock={"MAIN": 10, "EAST": 5})
    clerk = member_of("Inventory clerk")
    page.goto("/admin/inventory/warehousescope/")
    page.get_by_role("link", name="Assign warehouses").click()
    page.get_by_label("Member of staff").select_option(label=clerk)
    page.get_by_role("button", name="Show the assignment").click()
    page.get_by_label("EAST").check()
    page.get_by_role("button", name="Save").click()
    page.get_by_text(f"{clerk} now works in EAST, before in all warehouses.").wait_for()
    # Opened again, from the row, it shows what is.
    page.get_by_role("link", name=f"Assign warehouses to {clerk}").click()
    assert (page.get_by_label("EAST").is_checked(), page.get_by_label("MAIN").is_checked()) == (True, False)
    page.get_by_role("button", name="Save").click()
    page.get_by_text(f"{clerk} now works in EAST, before in EAST.").wait_for()

    context = browser.new_context(viewport=PHONE, base_url=server)
    theirs = context.new_page()
    sign_in(theirs, clerk)
    theirs.goto(f"/admin/inventory/item/{mug.id}/receive/")
    assert theirs.get_by_label("Warehouse").locator("option").all_inner_texts() == ["EAST East"]
    context.close()


def test_an_order_is_confirmed_picked_shipped_and_taken_back(browser, server):
    mug = factories.product(sku="MUG", stock=10)
    order = factories.order(factories.user(), (mug.id, 3))
    context = browser.new_context(viewport=DESKTOP, base_url=server)
    page = context.new_page()
    sign_in(page, member_of("Order desk"))
    page.goto("/admin/orders/order/")
    page.get_by_role("link", name=order.number).click()
    page.get_by_role("link", name="Confirm").click()
    page.get_by_label("Payment reference").fill("pay_1")
    page.keyboard.press("Enter")
    page.get_by_text(f"Confirmed order {order.number}: its units are promised.").wait_for()

    page.get_by_role("link", name="Pick list").click()
    assert page.get_by_role("cell", name="MUG").is_visible()
    page.emulate_media(media="print")
    page.get_by_role("button", name="Print").wait_for(state="hidden")
    page.evaluate("window.print = () => document.body.append('sent to the printer')")
    page.emulate_media(media="screen")
    page.get_by_role("button", name="Print").click()
    page.get_by_text("sent to the printer").wait_for()
    page.get_by_role("link", name="Back to the order").click()

    page.get_by_role("link", name="Ship").click()
    page.get_by_label("MUG").fill("2")
    page.get_by_role("button", name="Ship").click()
    page.get_by_text(f"Shipped 2 units of order {order.number}.").wait_for()
    page.get_by_role("link", name="Take back").click()
    page.get_by_label("MUG").fill("1")
    page.get_by_role("button", name="Take back").click()
    page.get_by_text(f"Took back 1 unit of order {order.number}.").wait_for()
    page.get_by_role("link", name="Cancel the order").click()
    page.get_by_label("Reason").fill("the rest is not wanted")
    page.get_by_role("button", name="Cancel the order").click()
    page.get_by_text(f"Cancelled order {order.number}: the unshipped units are free again.").wait_for()
    context.close()
    assert on_hand(mug.id) == {"MAIN": 9}


PAGES = (
    "/admin/",
    "/admin/inventory/item/",
    "/admin/inventory/item/{item}/change/",
    "/admin/inventory/item/{item}/set/",
    "/admin/inventory/item/{item}/set-apart/",
    "/admin/inventory/item/{item}/discard/",
    "/admin/inventory/item/{item}/movements/",
    "/admin/inventory/stockimport/",
    "/admin/inventory/stockimport/upload/",
    "/admin/inventory/warehouse/create/",
    "/admin/inventory/warehousescope/",
    "/admin/inventory/warehousescope/set-scope/",
    "/admin/inventory/warehousescope/set-scope/?member={member}",
    "/admin/inventory/count/",
    "/admin/inventory/count/open/",
    "/admin/inventory/count/{count}/change/",
    "/admin/inventory/count/{count}/enter/?product={item}",
    "/admin/inventory/count/{count}/quantity/?product={item}",
    "/admin/inventory/count/{count}/remove-line/?product={item}",
    "/admin/inventory/count/{count}/close/",
    "/admin/inventory/count/{count}/abandon/",
    "/admin/inventory/reservation/",
    "/admin/inventory/reservation/{hold}/change/",
    "/admin/inventory/reservation/{hold}/end/",
    "/admin/orders/order/",
    "/admin/orders/order/{order}/change/",
    "/admin/orders/order/{order}/fulfill/",
    "/admin/orders/order/{order}/pick-list/",
    "/admin/users/user/",
    "/admin/users/user/{member}/change/",
    "/admin/users/user/{order_user}/access/",
    "/admin/password_change/",
    "/api/docs",
)


MAIN_PAGES = (
    "/admin/",
    "/admin/inventory/item/",
    "/admin/inventory/item/{item}/change/",
    "/admin/inventory/count/{count}/enter/?product={item}",
    "/admin/orders/order/{order}/change/",
    "/api/docs",
)


def test_the_main_pages_fit_load_nothing_from_elsewhere_and_have_no_serious_fault(browser, server, database):
    look_at(MAIN_PAGES, browser, server, viewport=PHONE, scheme="dark")


@pytest.mark.long
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_every_page_fits_loads_nothing_from_elsewhere_and_has_no_serious_fault(
    browser, server, database, scheme, viewport
):
    look_at(PAGES, browser, server, viewport=viewport, scheme=scheme)


def look_at(pages: tuple[str, ...], browser, server: str, *, viewport, scheme: str) -> None:
    """Open pages as a superuser and assert that each fits, is accessible and asks nobody else for anything."""
    keys = rows_to_look_at()
    boss = factories.user(is_staff=True, is_superuser=True)
    context = browser.new_context(viewport=viewport, base_url=server, color_scheme=scheme)
    page = context.new_page()
    requests, errors, faults = [], [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    # What the pages' policy forbids is told here.
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.goto("/admin/login/")
    faults += faults_of(page)
    sign_in(page, boss.email)
    for path in pages:
        response = page.goto(path.format(**keys))
        assert response is not None
        assert response.status == 200, path
        if path == "/api/docs":
            page.get_by_text("Log in with email and password").first.wait_for()
            continue  # its page is Swagger's
        assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"], path
        faults += faults_of(page)
    context.close()

    assert faults == []
    assert errors == []
    assert [url for url in requests if not url.startswith((server, "data:"))] == []


def rows_to_look_at() -> dict[str, object]:
    """Make a row of each kind, and return their keys."""
    mug = factories.product(sku="MUG", stock=10)
    transactions.run(lambda: ledger.sell(product_id=mug.id, quantity=3, note="", reference="", caller=SYSTEM))
    hold = factories.reservation((mug.id, 1))
    buyer = factories.user()
    order = factories.order(buyer, (mug.id, 2))
    count = counting.open_count(count_id=new_id(), warehouse="MAIN", note="", caller=SYSTEM)
    counting.record_count(count.id, product_id=mug.id, counted=6, caller=SYSTEM)
    member = factories.user(is_staff=True)
    warehouses.set_scope(member.id, warehouses=["MAIN"], caller=User(buyer.id))
    keys = {"item": mug.id, "hold": hold.id, "order": order.id, "count": count.id}
    return {**keys, "order_user": buyer.id, "member": member.id}
