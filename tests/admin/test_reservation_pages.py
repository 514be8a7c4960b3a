import pytest
from django.contrib.admin.models import LogEntry

from inventory import services as inventory
from shop.toolkit.callers import SYSTEM
from tests import factories
from tests.admin.staff_client import GROUPS, ITEMS, signed_in
from tests.conftest import fetch
from tests.stock_rows import assert_books_are_right, overdue

RESERVATIONS = "/admin/inventory/reservation/"


@pytest.fixture
def mug(database):
    return factories.product(sku="MUG", stock=10)


@pytest.fixture
def hold(mug) -> inventory.Reservation:
    return factories.reservation((mug.id, 4))


def test_a_hold_is_found_from_the_item_and_released_with_a_reason(mug, hold):
    manager = signed_in("Inventory manager")
    path = f"{RESERVATIONS}{hold.id}/change/"
    assert f'href="{path}"' in manager.get(f"{ITEMS}{mug.id}/change/").content.decode()
    page = manager.get(path).content.decode()
    assert f'href="{RESERVATIONS}{hold.id}/end/"' in page
    assert "MUG" in page

    assert manager.post(f"{RESERVATIONS}{hold.id}/end/").status_code == 422  # a reason is needed
    assert inventory.get_reservation(hold.id, caller=SYSTEM).state == "held"
    assert manager.post(f"{RESERVATIONS}{hold.id}/end/", {"reason": "a bot"}).status_code == 302

    assert inventory.get_item(mug.id, caller=SYSTEM).available == 10
    page = manager.get(path).content.decode()
    assert f"{RESERVATIONS}{hold.id}/end/" not in page
    entry = LogEntry.objects.get()
    assert (entry.object_id, "a bot" in entry.change_message) == (str(hold.id), True)
    assert "a bot" in manager.get(f"{ITEMS}{mug.id}/change/").content.decode()
    assert manager.post(f"{RESERVATIONS}{hold.id}/end/", {"reason": "again"}).status_code == 422
    assert_books_are_right()


@pytest.mark.parametrize("group", [group for group in GROUPS if group != "Inventory manager"])
def test_others_than_managers_may_not_release(hold, group):
    client = signed_in(group)
    assert "/end/" not in client.get(f"{RESERVATIONS}{hold.id}/change/").content.decode()
    for send in (client.get, client.post):
        assert send(f"{RESERVATIONS}{hold.id}/end/", {"reason": "x"}).status_code == 403
    assert inventory.get_reservation(hold.id, caller=SYSTEM).state == "held"


def test_holds_past_their_deadline_are_a_filter(mug, hold):
    late = factories.reservation((mug.id, 1), reference="late")
    overdue(late.id)
    page = signed_in("Inventory viewer").get(f"{RESERVATIONS}?overdue=1").content.decode()
    assert "late" in page
    assert hold.reference not in page
    assert fetch("SELECT count(*) FROM inventory_reservation WHERE state = 'held'") == [(2,)]
