"""The staff's screens of warehouses and of accounts."""

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group
from django.test import Client

from tests import factories
from tests.admin.test_stock_pages import GROUPS, signed_in
from tests.conftest import fetch
from users import models as user_models

WAREHOUSES = "/admin/inventory/warehouse/"
USERS = "/admin/users/user/"


def warehouses() -> list[tuple]:
    return fetch("SELECT code, name, priority, is_active FROM inventory_warehouse ORDER BY code")


def test_a_warehouse_is_made_changed_and_deleted_while_nothing_refers_to_it(database):
    manager = signed_in("Inventory manager")
    assert manager.get(f"{WAREHOUSES}create/").status_code == 200
    manager.post(f"{WAREHOUSES}create/", {"code": "EAST", "name": "East", "priority": 50, "is_active": "on"})
    assert warehouses()[0] == ("EAST", "East", 50, True)
    (key,) = fetch("SELECT id FROM inventory_warehouse WHERE code = 'EAST'")[0]

    assert 'value="East"' in manager.get(f"{WAREHOUSES}{key}/edit/").content.decode()
    manager.post(f"{WAREHOUSES}{key}/edit/", {"name": "Far east", "priority": 200})
    assert warehouses()[0] == ("EAST", "Far east", 200, False)

    assert manager.get(f"{WAREHOUSES}{key}/remove/").status_code == 200
    manager.post(f"{WAREHOUSES}{key}/remove/")
    assert [row[0] for row in warehouses()] == ["MAIN"]
    said = list(LogEntry.objects.order_by("id").values_list("change_message", flat=True))
    assert said == [
        "Created the warehouse EAST.",
        "Changed EAST: Far east, priority 200, no orders are served from it.",
        "Deleted the warehouse EAST.",
    ]


def test_what_cannot_be_is_said_above_the_form(database):
    manager = signed_in("Inventory manager")
    factories.product(stock=1)
    (main,) = fetch("SELECT id FROM inventory_warehouse")[0]
    for path, given, said in (
        ("create/", {"code": "MAIN", "priority": 1}, "There is a warehouse MAIN already"),
        ("create/", {"code": "a b", "priority": 1}, "At most 32 letters"),
        ("create/", {"code": "B", "priority": -1}, "greater than or equal to 0"),
        (f"{main}/remove/", {}, "has stock, a history"),
    ):
        response = manager.post(f"{WAREHOUSES}{path}", given)
        assert (response.status_code, said in response.content.decode()) == (422, True), path
    assert manager.get(f"{WAREHOUSES}999/edit/").status_code == 404
    assert manager.post(f"{WAREHOUSES}999/remove/").status_code == 404
    assert [row[0] for row in warehouses()] == ["MAIN"]


@pytest.mark.parametrize("group", [group for group in GROUPS if group != "Inventory manager"])
def test_others_than_managers_may_not_touch_warehouses(database, group):
    client = signed_in(group)
    (main,) = fetch("SELECT id FROM inventory_warehouse")[0]
    for path in ("create/", f"{main}/edit/", f"{main}/remove/"):
        assert client.get(f"{WAREHOUSES}{path}").status_code == 403
        assert client.post(f"{WAREHOUSES}{path}").status_code == 403
    page = client.get(WAREHOUSES)
    assert page.status_code == (200 if group.startswith("Inventory") else 403)
    assert "New warehouse" not in page.content.decode()


def test_a_superuser_says_who_is_staff_and_of_which_groups(database):
    root = signed_in(is_superuser=True)
    account = factories.user()
    token = factories.client(account)
    path = f"{USERS}{account.id}/access/"
    assert f'href="{path}"' in root.get(f"{USERS}{account.id}/change/").content.decode()
    assert root.get(path).status_code == 200
    root.post(path, {"is_active": "on", "is_staff": "on", "groups": ["Inventory clerk", "Order desk"]})
    row = user_models.User.objects.get(pk=account.id)
    assert (row.is_staff, row.is_active) == (True, True)
    assert sorted(group.name for group in row.groups.all()) == ["Inventory clerk", "Order desk"]
    assert token.get("/api/v1/inventory/items").status_code == 200
    assert "Inventory clerk" in root.get(f"{USERS}{account.id}/change/").content.decode()

    root.post(path, {"groups": []})
    assert token.get("/api/v1/inventory/items").status_code == 401  # out at once
    assert LogEntry.objects.first().change_message == "May not come in; no staff; no group."


def test_nobody_changes_their_own_access_and_none_but_superusers_anybodys(database):
    root = signed_in(is_superuser=True)
    me = user_models.User.objects.get(email=root.email)
    response = root.post(f"{USERS}{me.pk}/access/", {"groups": []})
    assert (response.status_code, "Nobody changes their own access" in response.content.decode()) == (422, True)
    assert root.get(f"{USERS}999/access/").status_code == 404
    assert root.post(f"{USERS}{me.pk}/access/", {"groups": ["None such"]}).status_code == 422

    other = factories.user()
    for group in GROUPS:
        client = signed_in(group)
        assert client.get(f"{USERS}{other.id}/access/").status_code == 403
        assert client.post(f"{USERS}{other.id}/access/", {"is_staff": "on"}).status_code == 403
    assert fetch("SELECT is_staff FROM users_user WHERE id = %s", other.id) == [(False,)]


def test_the_groups_are_those_of_the_documentation(database):
    assert set(Group.objects.values_list("name", flat=True)) == set(GROUPS)


def test_who_signs_in_without_a_page_in_mind_comes_to_the_first_one(database):
    account = factories.user(is_staff=True)
    answer = Client().post("/admin/login/", {"username": account.email, "password": factories.PASSWORD})
    assert (answer.status_code, answer.headers["Location"]) == (302, "/admin/")
