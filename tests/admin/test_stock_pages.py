"""The staff's screens of stock: what each shows, what it does, and what is refused to whom."""

import html
import json
import re
from functools import partial

import pytest
from django.contrib.admin.models import LogEntry
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.urls import reverse

from inventory import services as inventory
from inventory.imports import steps
from inventory.stock import ledger
from shop.toolkit.callers import SYSTEM
from shop.toolkit.db import transactions
from tests import factories
from tests.admin.staff_client import GROUPS, IMPORTS, ITEMS, signed_in, upload
from tests.conftest import counted_statements, fetch
from tests.inventory.imports import on_hand
from tests.stock_rows import assert_books_are_right, overdue
from users import models as user_models


@pytest.fixture
def mug(database):
    return factories.product(sku="MUG", stock=10)


@pytest.fixture
def clerk(mug) -> Client:
    return signed_in("Inventory clerk")


@pytest.fixture
def manager(mug) -> Client:
    return signed_in("Inventory manager")


STEPS = {
    "receive": ({"warehouse": "MAIN", "quantity": 5, "reference": "DN-7"}, {"MAIN": 15}, "receive", "received"),
    "adjust": ({"warehouse": "MAIN", "delta": -3, "reason": "lost", "note": "shelf 4"}, {"MAIN": 7}, "adjust", "lost"),
    "set": (
        {"warehouse": "MAIN", "quantity": 4, "expected_on_hand": 10, "expected_for": "MAIN", "reason": "count"},
        {"MAIN": 4},
        "adjust",
        "count",
    ),
    "write-off": ({"warehouse": "MAIN", "quantity": 2, "reason": "damaged"}, {"MAIN": 8}, "adjust", "damaged"),
    "transfer": (
        {"from_warehouse": "MAIN", "to_warehouse": "EAST", "quantity": 6},
        {"MAIN": 4, "EAST": 6},
        "transfer",
        "transfer",
    ),
}


@pytest.mark.parametrize("step", STEPS)
def test_a_step_is_in_stock_ledger_and_history_with_who_and_why(clerk, mug, step):
    factories.warehouse("EAST")
    given, expected, kind, reason = STEPS[step]

    assert clerk.get(f"{ITEMS}{mug.id}/{step}/").status_code == 200
    response = clerk.post(f"{ITEMS}{mug.id}/{step}/", given)

    assert (response.status_code, response.headers["Location"]) == (302, f"{ITEMS}{mug.id}/change/")
    assert on_hand(mug.id) == expected
    assert fetch(
        "SELECT DISTINCT kind, reason, email FROM inventory_movement JOIN users_user u ON u.id = actor_id"
    ) == [(kind, reason, clerk.email)]
    entry = LogEntry.objects.get()
    assert (entry.object_id, entry.user.email) == (str(mug.id), clerk.email)
    assert entry.change_message
    page = clerk.get(f"{ITEMS}{mug.id}/change/").content.decode()
    assert clerk.email in page
    assert entry.change_message in page  # said once, above
    assert_books_are_right()


def test_units_are_set_aside_put_back_and_discarded_and_the_ledger_shows_it(clerk, mug):
    """Each is in stock, ledger and history, and shown as what is unavailable."""
    place, path = {"warehouse": "MAIN", "reason": "damaged"}, f"{ITEMS}{mug.id}"
    for step, given, levels, delta in (
        ("set-apart", {"what": "aside", "quantity": 4}, (10, 4), "+4 → 4"),
        ("set-apart", {"what": "back", "quantity": 1}, (10, 3), "-1 → 3"),
        ("discard", {"quantity": 2}, (8, 1), "-2 → 1"),
    ):
        assert clerk.get(f"{path}/{step}/").status_code == 200
        done = clerk.post(f"{path}/{step}/", {**place, **given, "note": f"why {delta}"})
        assert (done.status_code, done.headers["Location"]) == (302, f"{path}/change/")
        assert fetch("SELECT on_hand, unavailable FROM inventory_stock") == [levels]
        ledger = clerk.get(f"{path}/movements/").content.decode()
        row = re.sub(r"<[^>]*>|\s+", " ", ledger[ledger.index("adjust (damaged)") : ledger.index(f"why {delta}")])
        assert delta in row
        assert clerk.email in row
    assert LogEntry.objects.count() == 3
    assert_books_are_right()


REFUSED = [
    ("set-apart", {"warehouse": "MAIN", "quantity": 1, "reason": "damaged"}, "This field is required"),
    (
        "set-apart",
        {"warehouse": "MAIN", "what": "back", "quantity": 1, "reason": "found"},
        "MUG has 0 unavailable units, fewer than the 1 requested",
    ),
    ("set-apart", {"warehouse": "MAIN", "what": "aside", "quantity": 7, "reason": "damaged"}, "4 for "),
    ("discard", {"warehouse": "MAIN", "quantity": 1, "reason": "damaged"}, "MUG has 0 unavailable units"),
    ("discard", {"warehouse": "MAIN", "quantity": -1, "reason": "damaged"}, "greater than or equal to 1"),
    ("discard", {"warehouse": "MAIN", "quantity": 1, "reason": "sale"}, "Select a valid choice"),
    ("receive", {"warehouse": "MAIN", "quantity": 0}, "greater than or equal to 1"),
    ("receive", {"warehouse": "NONE", "quantity": 1}, "Select a valid choice"),
    ("adjust", {"warehouse": "MAIN", "delta": 0, "reason": "lost"}, "Enter a number other than 0"),
    ("adjust", {"warehouse": "MAIN", "delta": -8, "reason": "lost"}, "0 unavailable, 4 promised. Release"),
    ("adjust", {"warehouse": "MAIN", "delta": -99, "reason": "sold"}, "Select a valid choice"),
    ("write-off", {"warehouse": "MAIN", "quantity": 8, "reason": "lost"}, "4 for "),
    ("transfer", {"from_warehouse": "MAIN", "to_warehouse": "MAIN", "quantity": 1}, "two different warehouses"),
    ("set", {"warehouse": "MAIN", "quantity": 1, "reason": "count"}, "This field is required"),
    (
        "set",
        {"warehouse": "MAIN", "quantity": 3, "expected_on_hand": 10, "expected_for": "MAIN", "reason": "count"},
        "At most 6 units of MUG can be taken, not 7",
    ),
]


@pytest.mark.parametrize(("step", "given", "said"), REFUSED)
def test_what_cannot_be_is_said_above_the_form_and_changes_nothing(clerk, mug, step, given, said):
    factories.reservation((mug.id, 4))

    response = clerk.post(f"{ITEMS}{mug.id}/{step}/", given)

    assert response.status_code == 422
    assert said in response.content.decode()
    assert on_hand(mug.id) == {"MAIN": 10}
    assert LogEntry.objects.count() == 0


def test_a_stale_form_says_what_changed_and_by_whom(clerk, mug):
    other = signed_in("Inventory clerk")
    other.post(f"{ITEMS}{mug.id}/receive/", {"warehouse": "MAIN", "quantity": 5})

    response = clerk.post(
        f"{ITEMS}{mug.id}/set/",
        {"warehouse": "MAIN", "quantity": 1, "expected_on_hand": 10, "expected_for": "MAIN", "reason": "count"},
    )

    said = response.content.decode()
    assert "The stock on hand is 15 units, not what you expected" in said
    assert f"Last change: receive (+5) by {other.email}" in said
    assert on_hand(mug.id) == {"MAIN": 15}


def test_a_stale_form_names_who_changed_the_quantity_and_not_who_reserved_last(clerk, mug):
    other = signed_in("Inventory clerk")
    other.post(f"{ITEMS}{mug.id}/receive/", {"warehouse": "MAIN", "quantity": 5})
    factories.reservation((mug.id, 1))
    factories.order(factories.user(), (mug.id, 1))
    given = {"warehouse": "MAIN", "quantity": 1, "expected_on_hand": 10, "expected_for": "MAIN", "reason": "count"}

    said = clerk.post(f"{ITEMS}{mug.id}/set/", given).content.decode()

    assert f"Last change: receive (+5) by {other.email}" in said


def test_a_quantity_is_never_compared_with_that_of_another_warehouse(clerk, mug):
    """As from a browser without scripts, where another warehouse was chosen and its units were not filled in."""
    factories.warehouse("EAST")
    factories.warehouse("WEST", priority=1)
    east = {"product_id": mug.id, "levels": [inventory.Level("EAST", 10)], "reference": "", "note": ""}
    transactions.run(lambda: ledger.receive(**east, caller=SYSTEM))
    path = f"{ITEMS}{mug.id}/set/"
    form = html.unescape(clerk.get(path).content.decode())
    assert '{"MAIN": 10, "EAST": 10}' in form
    assert re.search(r'name="expected_for" value="MAIN"', form)
    given = {"warehouse": "EAST", "quantity": 3, "expected_on_hand": 10, "expected_for": "MAIN", "reason": "count"}

    refused = clerk.post(path, given)

    again = refused.content.decode()
    assert refused.status_code == 422
    assert "The expected units were those of MAIN; EAST has 10 on hand" in again
    assert re.search(r'name="expected_for" value="EAST"', again)
    assert re.search(r'name="quantity" value="3"', again), "what was typed stays"
    assert on_hand(mug.id) == {"MAIN": 10, "EAST": 10}
    assert "WEST has 0 on hand" in clerk.post(path, {**given, "warehouse": "WEST"}).content.decode()
    assert clerk.post(path, {**given, "expected_for": "EAST"}).status_code == 302
    assert on_hand(mug.id) == {"MAIN": 10, "EAST": 3}


def test_the_list_has_totals_filters_search_and_order(clerk, mug):
    factories.warehouse("EAST")
    pot = factories.product(sku="POT", stock={"MAIN": 1, "EAST": 2})
    factories.product(sku="OUT", stock=0)
    factories.product(sku="NEW", stock={})  # without a stock row anywhere
    held = factories.reservation((pot.id, 3))
    overdue(held.id)

    def skus(query: str = "") -> list[str]:
        page = clerk.get(f"{ITEMS}?{query}").content.decode()
        return re.findall(r'<a href="[^"]*/change/[^"]*"[^>]*>\s*(MUG|NEW|POT|OUT)\s*<', page)

    assert skus() == ["MUG", "NEW", "OUT", "POT"]
    assert skus("o=-3")[0] == "MUG"
    assert skus("level=out") == ["NEW", "OUT", "POT"]
    assert skus("level=low") == []
    fetch("UPDATE inventory_stock SET reorder_point = 0 RETURNING 1")
    assert skus("level=low") == ["OUT", "POT"]
    assert skus("level=overdue") == ["POT"]
    assert skus("warehouse=EAST") == ["POT"]
    assert skus("q=mu") == ["MUG"]


def test_the_page_of_an_item_explains_its_stock(clerk, mug):
    hold = factories.reservation((mug.id, 4))
    page = clerk.get(f"{ITEMS}{mug.id}/change/").content.decode()
    assert "6 available" in page
    assert hold.reference in page
    assert "initial stock" in page
    assert clerk.get(f"{ITEMS}999/change/").status_code == 302  # Django's own answer: back, with a message
    assert clerk.get(f"{ITEMS}999/receive/").status_code == 404


def test_the_page_of_an_item_plots_its_stock_over_time(clerk, mug):
    factories.reservation((mug.id, 4))
    page = html.unescape(clerk.get(f"{ITEMS}{mug.id}/change/").content.decode())
    plot, _ = json.JSONDecoder().raw_decode(page.partition('data-value="')[2])
    assert {line["label"]: line["data"][-1] for line in plot["datasets"]} == {
        "on hand": 10, "promised": 4, "unavailable": 0
    }  # fmt: skip


def test_the_ledger_of_an_item_is_paged(clerk, mug):
    for number in range(120):
        arrived = {"levels": [inventory.Level("MAIN", 1)], "reference": f"DN-{number}-"}
        transactions.run(partial(ledger.receive, product_id=mug.id, **arrived, caller=SYSTEM, note=""))
    first = clerk.get(f"{ITEMS}{mug.id}/change/").content.decode()
    assert ("DN-119-" in first, "DN-99-" in first, "Whole ledger" in first) == (True, False, True)

    newest = clerk.get(f"{ITEMS}{mug.id}/movements/").content.decode()
    assert ("DN-119-" in newest, "DN-20-" in newest, "DN-19-" in newest) == (True, True, False)
    older = html.unescape(re.search(r'href="([^"]*cursor=[^"]*)">Older', newest)[1])
    oldest = clerk.get(older).content.decode()
    assert ("DN-19-" in oldest, "initial stock" in oldest, ">Older" in oldest) == (True, True, False)
    newer = html.unescape(re.search(r'href="([^"]*cursor=[^"]*)">Newer', oldest)[1])
    assert "DN-119-" in clerk.get(newer).content.decode()
    assert clerk.get(f"{ITEMS}{mug.id}/movements/?cursor=junk").status_code == 200
    assert clerk.get(f"{ITEMS}999/movements/").status_code == 404
    assert signed_in("Order desk").get(f"{ITEMS}{mug.id}/movements/").status_code == 403


def test_statements_of_a_page_do_not_grow_with_its_rows(clerk, mug):
    factories.warehouse("EAST")
    counts: dict[str, list[int]] = {ITEMS: [], f"{ITEMS}{mug.id}/change/": [], IMPORTS: []}
    manager = signed_in("Inventory manager")
    for more in (1, 20):
        for _ in range(more):
            factories.product(stock={"MAIN": 3, "EAST": 4})
            transactions.run(
                lambda: ledger.receive(
                    product_id=mug.id, levels=[inventory.Level("EAST", 1)], caller=SYSTEM, reference="", note=""
                )
            )
            upload(manager, f"sku,quantity\nNONE,{factories.product().id}\n")
        for path, found in counts.items():
            with counted_statements() as statements:
                assert manager.get(path).status_code == 200
            found.append(len(statements))
    for path, (few, many) in counts.items():
        assert few == many, path


def test_a_file_is_checked_looked_at_written_and_taken_back(manager, mug):
    checked = upload(manager, "sku,quantity\nMUG,25\n")
    page = manager.get(checked.headers["Location"]).content.decode()
    assert "+15" in page
    assert "Apply these changes" in page
    assert "Undo the import" not in page
    assert on_hand(mug.id) == {"MAIN": 10}

    base = checked.headers["Location"].removesuffix("change/")
    assert manager.get(f"{base}approve/").status_code == 200
    assert manager.post(f"{base}approve/").status_code == 302
    assert on_hand(mug.id) == {"MAIN": 25}
    page = manager.get(checked.headers["Location"]).content.decode()
    assert "Apply these changes" not in page
    assert "Undo the import" in page

    assert manager.post(f"{base}undo/").status_code == 302
    assert on_hand(mug.id) == {"MAIN": 10}
    again = manager.post(f"{base}approve/")
    assert (again.status_code, "Only a dry run that awaits review" in again.content.decode()) == (422, True)
    assert_books_are_right()


def test_a_large_file_is_checked_by_the_worker_and_its_page_asks_until_it_is(manager, mug, monkeypatch):
    monkeypatch.setattr(steps, "CHUNK_ROWS", 1)
    factories.product(sku="POT", stock=1)

    checked = upload(manager, "sku,quantity\nMUG,25\nPOT,1\n")
    address = checked.headers["Location"]
    waiting = manager.get(address)
    assert waiting.headers["Refresh"] == "3"
    page = waiting.content.decode()
    assert "Checking 2 rows" in page
    assert "The rows are being checked. Nothing is applied yet." in page
    assert "Apply these changes" not in page
    assert manager.post(address.replace("change/", "approve/")).status_code == 422

    call_command("work", "--once")
    shown = manager.get(address)
    assert "Refresh" not in shown.headers
    assert "+15" in shown.content.decode()
    assert on_hand(mug.id) == {"MAIN": 10}

    manager.post(address.replace("change/", "approve/"))
    waiting = manager.get(address)
    assert (waiting.headers["Refresh"], on_hand(mug.id)) == ("3", {"MAIN": 10})
    call_command("work", "--once")
    assert "Refresh" not in manager.get(address).headers
    assert on_hand(mug.id) == {"MAIN": 25}


def test_refused_rows_are_shown_and_keep_the_file_from_being_written(manager, mug):
    checked = upload(manager, "sku,quantity\nMUG,25\nNONE,1\n")
    page = manager.get(checked.headers["Location"]).content.decode()
    assert "there is no product with the SKU NONE" in page
    assert "Apply these changes" not in page
    base = checked.headers["Location"].removesuffix("change/")
    assert manager.post(f"{base}approve/").status_code == 302  # posted anyway
    assert on_hand(mug.id) == {"MAIN": 10}
    errors = manager.get(reverse("admin:inventory_stockimport_errors", args=[base.split("/")[-2]]))
    assert b"NONE,1" in b"".join(errors.streaming_content)

    skipping = upload(manager, "sku,quantity\nMUG,25\nNONE,1\n", skip="on")
    manager.post(skipping.headers["Location"].replace("change/", "approve/"))
    assert on_hand(mug.id) == {"MAIN": 25}


def test_an_unreadable_file_is_said_above_the_form(manager, mug, settings):
    response = upload(manager, "color,quantity\nred,1\n")
    assert (response.status_code, "no column sku" in response.content.decode()) == (422, True)
    settings.MAX_UPLOAD_BYTES = 100
    assert upload(manager, "sku,quantity\n" + "MUG,1\n" * 30).status_code == 422
    settings.MAX_UPLOAD_BYTES = -(1 << 20)
    assert upload(manager, "sku,quantity\nMUG,1\n").status_code == 413


def test_stock_is_exported_from_the_list_of_imports(manager, mug):
    response = manager.get(reverse("admin:inventory_stockimport_export_csv"))
    assert b"MUG,MAIN,10,10" in b"".join(response.streaming_content)
    response = manager.get(reverse("admin:inventory_stockimport_export_xlsx"))
    assert b"".join(response.streaming_content).startswith(b"PK")


@pytest.mark.parametrize("group", GROUPS)
def test_what_a_group_may_not_do_has_no_button_and_is_refused_when_posted_anyway(mug, group):
    client = signed_in(group)
    may_change = group in ("Inventory clerk", "Inventory manager")
    may_load = group == "Inventory manager"
    sees_imports = group.startswith("Inventory")

    page = client.get(f"{ITEMS}{mug.id}/change/").content.decode()
    assert ("Write off" in page) == may_change
    for step, given in {**{step: given for step, (given, *_) in STEPS.items()}, "set-apart": {}, "discard": {}}.items():
        assert client.get(f"{ITEMS}{mug.id}/{step}/").status_code == (200 if may_change else 403)
        if not may_change:
            assert client.post(f"{ITEMS}{mug.id}/{step}/", given).status_code == 403
    response = client.get(IMPORTS)
    assert response.status_code == (200 if sees_imports else 403)
    assert ("Load a file" in response.content.decode()) == may_load
    assert upload(client, "sku,quantity\nMUG,25\n").status_code == (302 if may_load else 403)
    if may_load:
        return
    import_id = upload(signed_in("Inventory manager"), "sku,quantity\nMUG,26\n").headers["Location"].split("/")[-3]
    for step in ("approve", "undo"):
        assert client.post(f"{IMPORTS}{import_id}/{step}/").status_code == 403
    assert on_hand(mug.id) == {"MAIN": 10}


def test_rows_cannot_be_edited_as_rows_even_by_a_superuser(mug):
    client = signed_in(is_superuser=True)
    for path in (f"{ITEMS}add/", f"{IMPORTS}add/", f"{ITEMS}{mug.id}/delete/"):
        assert client.get(path).status_code == 403
    client.post(f"{ITEMS}{mug.id}/change/", {"sku": "ELSE", "name": "Else", "is_active": "on"})
    assert fetch("SELECT sku FROM inventory_item") == [("MUG",)]


def test_who_is_no_staff_is_asked_to_sign_in(mug):
    client = Client()
    client.force_login(user_models.User.objects.get(pk=factories.user().id))
    for path in (ITEMS, f"{ITEMS}{mug.id}/receive/", f"{IMPORTS}upload/"):
        assert client.get(path).headers["Location"].startswith("/admin/login/")


def test_an_import_that_is_not_there_is_a_404(manager):
    unknown = "00000000-0000-7000-8000-000000000000"
    for object_id in (unknown, "abc"):
        assert manager.get(reverse("admin:inventory_stockimport_errors", args=[object_id])).status_code == 404
    assert manager.post(f"{IMPORTS}{unknown}/approve/").status_code == 404


def test_every_button_leads_to_its_page(manager, mug):
    page = manager.get(f"{ITEMS}{mug.id}/change/").content.decode()
    for step in (*STEPS, "set-apart", "discard", "movements"):
        assert f'href="{ITEMS}{mug.id}/{step}/"' in page
    page = manager.get(IMPORTS).content.decode()
    for step in ("upload", "export-csv", "export-xlsx"):
        assert f'href="{IMPORTS}{step}/"' in page
    import_id = upload(manager, "sku,quantity\nMUG,25\n").headers["Location"].split("/")[-3]
    for step in ("approve", "undo"):  # each shown where it leads on
        page = manager.get(f"{IMPORTS}{import_id}/change/").content.decode()
        shown = {name for name in ("approve", "undo") if f'href="{IMPORTS}{import_id}/{name}/"' in page}
        assert shown == {step}
        manager.post(f"{IMPORTS}{import_id}/{step}/")


def test_who_does_not_see_the_ledger_or_reservations_has_no_way_to_them(mug):
    hold = factories.reservation((mug.id, 4))
    page = signed_in("Order desk").get(f"{ITEMS}{mug.id}/change/").content.decode()
    assert hold.reference in page
    for elsewhere in ("/reservation/", "/movements/", "initial stock"):
        assert elsewhere not in page


@pytest.mark.parametrize(
    "path",
    [
        "/admin/search/?s=a&page=x",
        "/admin/search/?s=a&page=99",
        "/admin/search/?s=a&page=0",
        "/admin/inventory/reservation/?expires_at__year=99999999999999",
        "/admin/inventory/item/?warehouse=none&level=none&o=99&p=99",
        "/admin/inventory/stockimport/?status__in=nonsense",
        "/admin/r/7/abc/",
    ],
)
def test_a_query_by_hand_is_no_crash(mug, path):
    assert signed_in(is_superuser=True).get(path).status_code in (200, 302, 404)


def test_a_step_that_met_a_deadlock_is_tried_again(clerk, mug, monkeypatch):
    """The form's data must be there for the second try as for the first."""
    real, calls = ledger.receive, []

    def deadlocked_once(**given):
        calls.append(given)
        if len(calls) == 1:
            with connection.cursor() as cursor:
                cursor.execute("DO $$ BEGIN RAISE EXCEPTION 'planted' USING ERRCODE = '40P01'; END $$")
        return real(**given)

    monkeypatch.setattr(ledger, "receive", deadlocked_once)
    done = clerk.post(f"{ITEMS}{mug.id}/receive/", {"warehouse": "MAIN", "quantity": 5})
    assert (done.status_code, len(calls), calls[0] == calls[1]) == (302, 2, True)
    assert on_hand(mug.id) == {"MAIN": 15}


@pytest.mark.parametrize("state", ["55P03", "57014"])
def test_a_row_that_is_busy_is_said_on_the_page(clerk, mug, monkeypatch, state):
    def busy(**given):
        with connection.cursor() as cursor:
            cursor.execute(f"DO $$ BEGIN RAISE EXCEPTION 'planted' USING ERRCODE = '{state}'; END $$")

    monkeypatch.setattr(ledger, "receive", busy)
    said = clerk.post(f"{ITEMS}{mug.id}/receive/", {"warehouse": "MAIN", "quantity": 5})
    assert (said.status_code, "Try again in a moment" in said.content.decode()) == (409, True)
