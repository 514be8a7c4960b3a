"""The screens of somebody who works in one warehouse, and where it is said who works where."""

import re
import threading
from functools import partial

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client

from inventory import services as inventory
from inventory.counts import counting
from inventory.stock import warehouses
from shop.toolkit.callers import SYSTEM, User
from shop.toolkit.db import transactions
from shop.toolkit.ids import new_id
from tests import factories
from tests.admin.staff_client import GROUPS, ITEMS, signed_in, upload
from tests.conftest import fetch
from tests.inventory.imports import in_threads, on_hand
from users import models as user_models

SCOPES, COUNTS = "/admin/inventory/warehousescope/", "/admin/inventory/count/"


@pytest.fixture
def mug(database):
    for code in ("EAST", "WEST"):
        factories.warehouse(code)
    return factories.product(sku="MUG", stock={"MAIN": 101, "EAST": 202, "WEST": 404})


def id_of(client: Client) -> int:
    return user_models.User.objects.get(email=client.email).pk


@pytest.fixture
def easterner(mug) -> Client:
    client = signed_in("Inventory manager")
    warehouses.set_scope(id_of(client), warehouses=["EAST"], caller=User(0))
    return client


def test_they_see_theirs(easterner, mug):
    listed = easterner.get(ITEMS).content.decode()
    assert "202" in listed
    assert "707" not in listed
    assert "WEST" not in listed  # not among the filters either
    page = easterner.get(f"{ITEMS}{mug.id}/change/").content.decode()
    assert "202 available" in page
    for elsewhere in ("101", "404", "WEST"):
        assert elsewhere not in page.replace("/static/", "")
    assert "WEST" not in easterner.get(f"{ITEMS}{mug.id}/movements/").content.decode()
    assert "WEST" not in easterner.get("/admin/inventory/warehouse/").content.decode()


@pytest.mark.parametrize("step", ["receive", "adjust", "write-off", "set", "transfer", "set-apart", "discard"])
def test_they_are_offered_theirs_and_others_are_refused(easterner, mug, step):
    assert "WEST" not in easterner.get(f"{ITEMS}{mug.id}/{step}/").content.decode()
    given = {"quantity": 1, "delta": 1, "expected_on_hand": 404, "reason": "damaged", "warehouse": "WEST"}
    given |= {"expected_for": "WEST", "what": "aside"}
    legs = {"from_warehouse": "WEST", "to_warehouse": "EAST"}
    refused = easterner.post(f"{ITEMS}{mug.id}/{step}/", given | legs)
    assert (refused.status_code, "Select a valid choice" in refused.content.decode()) == (422, True)
    assert on_hand(mug.id) == {"MAIN": 101, "EAST": 202, "WEST": 404}


def test_counts_imports_and_warehouses_elsewhere_are_not_there(easterner, mug):
    count_id = new_id()
    counting.open_count(count_id=count_id, warehouse="WEST", note="", caller=SYSTEM)
    assert str(count_id) not in easterner.get(COUNTS).content.decode()
    for step in ("enter", "close"):
        assert easterner.get(f"{COUNTS}{count_id}/{step}/").status_code == 404
        assert easterner.post(f"{COUNTS}{count_id}/{step}/", {"sku": "MUG", "counted": 1}).status_code == 404
    assert easterner.post(f"{COUNTS}open/", {"warehouse": "WEST"}).status_code == 422

    others = upload(signed_in("Inventory manager"), "sku,warehouse,quantity\nMUG,WEST,1\n").headers["Location"]
    assert easterner.get(others).status_code == 302  # Django's own answer for what is not there
    assert easterner.post(others.replace("change/", "approve/")).status_code == 404
    (west,) = fetch("SELECT id FROM inventory_warehouse WHERE code = 'WEST'")[0]
    for step in ("edit", "remove"):
        assert easterner.post(f"/admin/inventory/warehouse/{west}/{step}/", {"name": "x"}).status_code == 404
    mine = upload(easterner, "sku,warehouse,quantity\nMUG,WEST,1\n").headers["Location"]
    assert "there is no such warehouse" in easterner.get(mine).content.decode()
    assert on_hand(mug.id)["WEST"] == 404


def test_a_manager_says_where_somebody_works(mug):
    manager, clerk = signed_in("Inventory manager"), signed_in("Inventory clerk")

    assert clerk.email in manager.get(f"{SCOPES}set-scope/").content.decode()
    path = f"{SCOPES}set-scope/?member={id_of(clerk)}"
    done = manager.post(path, {"warehouses": ["EAST", "MAIN"]})

    assert (done.status_code, done.headers["Location"]) == (302, SCOPES)
    page = manager.get(SCOPES).content.decode()
    assert page.count(f'href="{path}"') == 2
    assert f"{clerk.email} now works in EAST, MAIN, before in all warehouses." in page
    assert "303" in clerk.get(ITEMS).content.decode()
    assert LogEntry.objects.get().user.email == manager.email
    shown = manager.get(path).content.decode()
    assert re.findall(r'value="(\w+)"[^>]* checked[ >]', shown) == ["MAIN", "EAST"]
    assert 'name="expected" value="MAIN,EAST"' in shown

    manager.post(path, {"expected": "MAIN,EAST"})
    assert fetch("SELECT count(*) FROM inventory_warehousescope") == [(0,)]


def test_of_two_who_say_it_at_once_the_second_is_told_what_changed(mug):
    manager, other, clerk = (signed_in(f"Inventory {role}") for role in ("manager", "manager", "clerk"))
    path = f"{SCOPES}set-scope/?member={id_of(clerk)}"
    other.post(path, {"warehouses": ["EAST"], "expected": ""})

    refused = manager.post(path, {"warehouses": ["WEST"], "expected": ""})

    page = refused.content.decode()
    assert refused.status_code == 422
    assert "from all warehouses to EAST. Nothing was saved. Save again" in page
    assert re.findall(r'value="(\w+)"[^>]* checked[ >]', page) == ["WEST"]
    assert 'name="expected" value="EAST"' in page
    assert warehouses.scope_codes(id_of(clerk)) == ["EAST"]
    assert manager.post(path, {"warehouses": ["WEST"], "expected": "EAST"}).status_code == 302
    assert warehouses.scope_codes(id_of(clerk)) == ["WEST"]


@pytest.mark.alone
def test_of_scopes_that_are_set_in_parallel_one_is_set(mug):
    """None of the rows is there yet that both would have to lock."""
    member, codes = factories.user(is_staff=True), iter(["MAIN", "EAST", "WEST"])
    together = threading.Barrier(3)

    def say() -> str:
        code = next(codes)
        together.wait()
        try:
            transactions.run(lambda: warehouses.set_scope(member.id, warehouses=[code], expected=[], caller=User(0)))
        except inventory.StaleScope:
            return "refused"
        return "set"

    assert sorted(in_threads(say, times=3)) == ["refused", "refused", "set"]
    assert len(warehouses.scope_codes(member.id)) == 1


def test_the_page_of_a_member_leads_to_where_they_work(mug):
    root, clerk = signed_in(is_superuser=True), signed_in("Inventory clerk")
    path = f"{SCOPES}set-scope/?member="
    assert f'href="{path}{id_of(clerk)}"' in root.get(f"/admin/users/user/{id_of(clerk)}/change/").content.decode()
    for nobody in (id_of(root), factories.user().id):
        assert path not in root.get(f"/admin/users/user/{nobody}/change/").content.decode()


def test_nobody_says_it_of_themselves_of_a_superuser_or_while_they_are_limited(easterner, mug):
    clerk, manager = signed_in("Inventory clerk"), signed_in("Inventory manager")
    root = signed_in(is_superuser=True)
    for member in (id_of(manager), id_of(root), factories.user().id, 99999, "x"):
        for send in (manager.get, partial(manager.post, data={"warehouses": ["EAST"]})):
            assert send(f"{SCOPES}set-scope/?member={member}").status_code == 422
    for send in (easterner.get, easterner.post):
        assert send(f"{SCOPES}set-scope/?member={id_of(clerk)}").status_code == 403
    # They see where they work themselves, and nobody else.
    transactions.run(lambda: warehouses.set_scope(clerk.user_id, warehouses=["MAIN"], caller=User(root.user_id)))
    listed = easterner.get(SCOPES).content.decode()
    assert (easterner.email in listed, clerk.email in listed) == (True, False)
    warehouses.set_scope(clerk.user_id, warehouses=[], caller=User(root.user_id))
    assert fetch("SELECT count(*) FROM inventory_warehousescope") == [(1,)]


def test_the_history_of_an_item_tells_of_all_warehouses_and_is_not_theirs(easterner, mug):
    manager = signed_in("Inventory manager")
    manager.post(f"{ITEMS}{mug.id}/adjust/", {"warehouse": "WEST", "delta": 3, "reason": "found"})
    assert "Adjusted MUG in WEST by +3" in manager.get(f"{ITEMS}{mug.id}/history/").content.decode()
    assert easterner.get(f"{ITEMS}{mug.id}/history/").status_code == 403


def test_a_hold_that_reaches_out_has_no_button(easterner, mug):
    inside, outside = factories.reservation((mug.id, 1)), factories.reservation((mug.id, 600))
    page = easterner.get(f"/admin/inventory/reservation/{outside.id}/change/").content.decode()
    assert "/end/" not in page
    assert easterner.post(f"/admin/inventory/reservation/{outside.id}/end/", {"reason": "x"}).status_code == 422
    assert inventory.get_reservation(outside.id, caller=SYSTEM).state == "held"
    assert inventory.get_reservation(inside.id, caller=SYSTEM).lines[0].warehouse == "MAIN"


@pytest.mark.parametrize("group", [group for group in GROUPS if group != "Inventory manager"])
def test_others_than_managers_may_not_say_it(mug, group):
    client = signed_in(group)
    for send in (client.get, client.post):
        assert send(f"{SCOPES}set-scope/").status_code == 403
    assert client.get(SCOPES).status_code == 403
