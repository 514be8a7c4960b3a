"""The staff's screens of warehouses and of accounts."""

import io
import re
import threading

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group
from django.core.management import CommandError, call_command
from django.test import Client

from shop.toolkit.callers import User
from shop.toolkit.db import transactions
from tests import factories
from tests.admin.staff_client import GROUPS, signed_in
from tests.conftest import fetch
from tests.inventory.imports import in_threads
from users import accounts
from users import models as user_models
from users import services as users

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
        "Created warehouse EAST.",
        "Changed warehouse EAST: Far east, priority 200, serves no orders.",
        "Deleted warehouse EAST.",
    ]


def test_what_cannot_be_is_said_above_the_form(database):
    manager = signed_in("Inventory manager")
    factories.product(stock=1)
    (main,) = fetch("SELECT id FROM inventory_warehouse")[0]
    for path, given, said in (
        ("create/", {"code": "MAIN", "priority": 1}, "A warehouse with the code MAIN already exists"),
        ("create/", {"code": "a b", "priority": 1}, "at most 32 letters"),
        ("create/", {"code": "B", "priority": -1}, "greater than or equal to 0"),
        (f"{main}/remove/", {}, "cannot be deleted: it has a stock history"),
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
    said = f"Changed the access of {account.email}: cannot sign in; not staff; no groups."
    assert LogEntry.objects.first().change_message == said


def test_nobody_changes_their_own_access_and_none_but_superusers_anybodys(database):
    root = signed_in(is_superuser=True)
    me = user_models.User.objects.get(email=root.email)
    response = root.post(f"{USERS}{me.pk}/access/", {"groups": []})
    assert (response.status_code, "You cannot change your own access" in response.content.decode()) == (422, True)
    assert root.get(f"{USERS}999/access/").status_code == 404
    assert root.post(f"{USERS}{me.pk}/access/", {"groups": ["None such"]}).status_code == 422

    other = factories.user()
    for group in GROUPS:
        client = signed_in(group)
        assert client.get(f"{USERS}{other.id}/access/").status_code == 403
        assert client.post(f"{USERS}{other.id}/access/", {"is_staff": "on"}).status_code == 403
    assert fetch("SELECT is_staff FROM users_user WHERE id = %s", other.id) == [(False,)]


def superusers() -> list[str]:
    return [email for (email,) in fetch("SELECT email FROM users_user WHERE is_superuser ORDER BY id")]


def test_a_superuser_sees_who_is_one_and_gives_it_and_takes_it_from_others(database):
    root, account = signed_in(is_superuser=True), factories.user()
    path = f"{USERS}{account.id}/access/"
    switches = {"is_active": "on", "is_staff": "on", "is_superuser": "on"}
    assert account.email not in root.get(f"{USERS}?is_superuser__exact=1").content.decode()

    refused = root.post(path, {"is_active": "on", "is_superuser": "on"})
    assert (refused.status_code, "A superuser must be staff" in refused.content.decode()) == (422, True)
    assert root.post(path, switches).status_code == 302
    assert superusers() == [root.email, account.email]
    said = f"Changed the access of {account.email}: can sign in; superuser; no groups."
    assert LogEntry.objects.first().change_message == said
    listed = root.get(f"{USERS}?is_superuser__exact=1").content.decode()
    assert account.email in listed
    assert "Superuser status" in listed
    form = root.get(path).content.decode()
    assert all(re.search(rf'name="{name}"[^>]* checked[ >]', form) for name in switches), "it shows what is"

    assert root.post(path, {"is_active": "on", "is_staff": "on"}).status_code == 302
    assert superusers() == [root.email]
    own = root.post(f"{USERS}{root.user_id}/access/", {"is_active": "on", "is_staff": "on"})
    assert (own.status_code, "You cannot change your own access" in own.content.decode()) == (422, True)
    assert superusers() == [root.email]


@pytest.mark.alone
def test_of_superusers_who_take_it_from_each_other_at_once_one_stays(database):
    """Both are let in before either is done: what counts is who is a superuser once the rows are locked."""
    for _ in range(5):
        ids = [factories.user(is_staff=True, is_superuser=True).id for _ in range(2)]
        pairs = iter([ids, ids[::-1]])
        both = threading.Barrier(2)

        def take(pairs=pairs, both=both) -> str:
            actor, other = next(pairs)
            both.wait()
            try:
                transactions.run(
                    lambda: accounts.set_access(
                        other, is_active=True, is_staff=True, is_superuser=False, groups=[], caller=User(actor)
                    )
                )
            except users.NotSuperuser:
                return "refused"
            return "taken"

        assert sorted(in_threads(take, times=2)) == ["refused", "taken"]
        assert len(superusers()) == 1
        user_models.User.objects.all().delete()


@pytest.mark.parametrize("left_out", ["is_active", "is_staff"])
def test_who_could_not_come_in_is_no_superuser_who_takes_it_from_others(database, left_out):
    boss, other = (factories.user(is_staff=True, is_superuser=True) for _ in range(2))
    user_models.User.objects.filter(pk=boss.id).update(**{left_out: False})
    with pytest.raises(users.NotSuperuser):
        accounts.set_access(
            other.id, is_active=True, is_staff=True, is_superuser=False, groups=[], caller=User(boss.id)
        )


def test_there_is_a_way_back_when_no_superuser_is_left(database):
    account = factories.user(email="anna@example.com")
    user_models.User.objects.filter(pk=account.id).update(is_active=False)
    said = io.StringIO()
    call_command("superuser", "Anna@Example.com", stdout=said)
    assert superusers() == ["anna@example.com"]
    assert fetch("SELECT is_active, is_staff FROM users_user") == [(True, True)]
    assert "is now a superuser" in said.getvalue()
    with pytest.raises(CommandError, match=r"nobody@example\.com"):
        call_command("superuser", "nobody@example.com")


def test_the_groups_are_those_of_the_documentation(database):
    assert set(Group.objects.values_list("name", flat=True)) == set(GROUPS)


def test_who_signs_in_without_a_page_in_mind_comes_to_the_first_one(database):
    account = factories.user(is_staff=True)
    answer = Client().post("/admin/login/", {"username": account.email, "password": factories.PASSWORD})
    assert (answer.status_code, answer.headers["Location"]) == (302, "/admin/")
