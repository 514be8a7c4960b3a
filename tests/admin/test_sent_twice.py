"""Forms of the staff that are sent twice: by a double click, after Back, by two tabs, or much later."""

import re
import threading
from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.signing import TimestampSigner
from django.db import connection, connections, transaction
from django.utils import timezone

from inventory.counts import counting
from shop.toolkit.callers import SYSTEM, User
from shop.toolkit.ids import new_id
from shop.toolkit.staff import form_keys
from tests import factories
from tests.admin.form_pages import slugs_of_pages
from tests.admin.staff_client import IMPORTS, ITEMS, StaffClient, signed_in
from tests.conftest import fetch
from tests.inventory.imports import in_threads, on_hand
from users import models as user_models

KEY = re.compile(r'name="form_key" value="([^"]+)"')


def key_in(response) -> str:
    found = KEY.search(response.content.decode())
    assert found, "the form has a key"
    return found[1].replace("&quot;", '"')


@pytest.fixture
def root(database) -> StaffClient:
    return signed_in(is_superuser=True)


@pytest.fixture
def mug(database):
    return factories.product(sku="MUG", stock=10)


def test_a_form_that_is_sent_twice_is_done_once_and_shows_the_first_result(root, mug):
    path = f"{ITEMS}{mug.id}/receive/"
    given = {"form_key": key_in(root.get(path)), "warehouse": "MAIN", "quantity": 5}

    first, second = root.post(path, given), root.post(path, given)

    assert (first.status_code, second.status_code) == (302, 302)
    assert first.headers["Location"] == second.headers["Location"]
    assert re.search(
        r"Already done at \d\d:\d\d UTC: Received 5 units of MUG into MAIN\.", root.get(path).content.decode()
    )
    assert on_hand(mug.id) == {"MAIN": 15}
    assert fetch("SELECT count(*) FROM django_admin_log") == [(1,)]


def test_each_form_that_changes_something_is_done_once(root, mug):
    """Every page with a form, found by its class, is sent twice with one key: one line in the history, one answer."""
    other = factories.user(is_staff=True)
    hold = factories.reservation((mug.id, 1))
    order = factories.order(factories.user(), (mug.id, 3))
    counts = [counting.open_count(count_id=new_id(), warehouse="MAIN", note="", caller=SYSTEM) for _ in range(3)]
    for count in counts[1:]:
        counting.record_count(count.id, product_id=mug.id, counted=10, caller=SYSTEM)
    factories.warehouse("EAST")
    factories.warehouse("GONE")
    east, gone = (fetch("SELECT id FROM inventory_warehouse WHERE code = %s", code)[0][0] for code in ("EAST", "GONE"))
    place, count_path = {"warehouse": "MAIN"}, "/admin/inventory/count/"
    upload = lambda: {"file": SimpleUploadedFile("levels.csv", b"sku,quantity\nMUG,25\n"), "mode": "set", **place}
    forms = {
        f"{ITEMS}{mug.id}/receive/": {**place, "quantity": 5},
        f"{ITEMS}{mug.id}/adjust/": {**place, "delta": -1, "reason": "lost"},
        f"{ITEMS}{mug.id}/write-off/": {**place, "quantity": 1, "reason": "lost"},
        f"{ITEMS}{mug.id}/transfer/": {"from_warehouse": "MAIN", "to_warehouse": "EAST", "quantity": 1},
        f"{ITEMS}{mug.id}/set/": {
            **place,
            "quantity": 20,
            "expected_on_hand": 12,
            "expected_for": "MAIN",
            "reason": "found",
        },
        f"{ITEMS}{mug.id}/set-apart/": {**place, "what": "aside", "quantity": 2, "reason": "damaged"},
        f"{ITEMS}{mug.id}/discard/": {**place, "quantity": 1, "reason": "damaged"},
        f"{IMPORTS}upload/": upload,
        f"{count_path}open/": place,
        f"{count_path}{counts[0].id}/enter/": {"sku": "MUG"},
        f"{count_path}{counts[0].id}/quantity/?product={mug.id}": {"quantity": 4, "how": "add"},
        f"{count_path}{counts[1].id}/remove-line/?product={mug.id}": {},
        f"{count_path}{counts[1].id}/close/": {},
        f"{count_path}{counts[2].id}/abandon/": {},
        "/admin/inventory/warehouse/create/": {"code": "NEW", "priority": 5},
        f"/admin/inventory/warehouse/{east}/edit/": {"name": "East", "priority": 7},
        f"/admin/inventory/warehouse/{gone}/remove/": {},
        f"/admin/inventory/warehousescope/set-scope/?member={other.id}": {"warehouses": ["EAST"]},
        f"/admin/inventory/reservation/{hold.id}/end/": {"reason": "a bot"},
        f"/admin/orders/order/{order.id}/confirm/": {"payment_reference": "pay_1"},
        f"/admin/orders/order/{order.id}/fulfill/": {f"units_{mug.id}": 2},
        f"/admin/orders/order/{order.id}/take-back/": {f"units_{mug.id}": 1, "resalable": "on"},
        f"/admin/orders/order/{order.id}/cancel/": {"reason": "no"},
        f"/admin/users/user/{other.id}/access/": {"is_active": "on", "is_staff": "on"},
    }
    history = "SELECT count(*) FROM django_admin_log"
    for path, given in forms.items():
        before, key = fetch(history)[0][0], key_in(root.get(path))
        answers = [root.post(path, {"form_key": key, **(given() if callable(given) else given)}) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [302, 302], (path, answers[-1].content.decode()[-3000:])
        assert answers[0].headers["Location"] == answers[1].headers["Location"], path
        assert fetch(history)[0][0] == before + 1, path
    import_id = fetch("SELECT id FROM inventory_stockimport")[0][0]
    for step in ("approve", "undo"):
        path = f"{IMPORTS}{import_id}/{step}/"
        key = key_in(root.get(path))
        answers = [root.post(path, {"form_key": key}) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [302, 302], path
    assert slugs_of_pages() == {path.partition("?")[0].rstrip("/").rsplit("/", 1)[1] for path in forms} | {
        "approve",
        "undo",
    }


@pytest.mark.alone
def test_two_that_come_at_once_are_one(root, mug):
    path = f"{ITEMS}{mug.id}/receive/"
    given = {"form_key": key_in(root.get(path)), "warehouse": "MAIN", "quantity": 5}

    def send() -> int:
        client = StaffClient()
        client.user_id = root.user_id
        client.force_login(user_models.User.objects.get(pk=root.user_id))
        return client.post(path, given).status_code

    answers = in_threads(send, times=6)

    assert set(answers) == {302}
    assert on_hand(mug.id) == {"MAIN": 15}


@pytest.mark.alone
def test_a_form_whose_first_sending_is_still_at_work_says_so(root, mug):
    path = f"{ITEMS}{mug.id}/receive/"
    given = {"form_key": key_in(root.get(path)), "warehouse": "MAIN", "quantity": 5}
    is_claimed, is_over = threading.Event(), threading.Event()

    def be_at_work() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            key = given["form_key"].rsplit(":", 2)[0]
            cursor.execute(
                "INSERT INTO toolkit_idempotencykey (user_id, endpoint, key, fingerprint, content_type, created_at)"
                " VALUES (%s, %s, %s, '', '', now())",
                [root.user_id, f"FORM {path}", key],
            )
            is_claimed.set()
            is_over.wait(10)
            transaction.set_rollback(True)
        connections.close_all()

    first = threading.Thread(target=be_at_work)
    first.start()
    is_claimed.wait(10)
    second = root.post(path, given)
    is_over.set()
    first.join()

    assert (second.status_code, key_in(second)) == (409, given["form_key"])
    assert "This form was sent before and is still being worked on." in second.content.decode()
    assert on_hand(mug.id) == {"MAIN": 10}
    assert root.post(path, given).status_code == 302
    assert on_hand(mug.id) == {"MAIN": 15}


def test_another_change_from_a_form_that_was_sent_is_asked_for_again(root, mug):
    path = f"{ITEMS}{mug.id}/receive/"
    key = key_in(root.get(path))
    root.post(path, {"form_key": key, "warehouse": "MAIN", "quantity": 5})

    other = root.post(path, {"form_key": key, "warehouse": "MAIN", "quantity": 6})

    assert other.status_code == 422
    assert re.search(
        r"This form was sent before, at \d\d:\d\d UTC: Received 5 units of MUG into MAIN\.", other.content.decode()
    )
    assert on_hand(mug.id) == {"MAIN": 15}
    again = root.post(path, {"form_key": key_in(other), "warehouse": "MAIN", "quantity": 6})
    assert (again.status_code, on_hand(mug.id)) == (302, {"MAIN": 21})


def test_a_refused_form_keeps_its_key_and_may_be_corrected(root, mug):
    path = f"{ITEMS}{mug.id}/write-off/"
    key = key_in(root.get(path))
    for quantity in ("", 11):
        refused = root.post(path, {"form_key": key, "warehouse": "MAIN", "quantity": quantity, "reason": "lost"})
        assert (refused.status_code, key_in(refused)) == (422, key)
    assert root.post(path, {"form_key": key, "warehouse": "MAIN", "quantity": 4, "reason": "lost"}).status_code == 302
    assert on_hand(mug.id) == {"MAIN": 6}


@pytest.mark.parametrize(
    "age", [timedelta(hours=23, minutes=59), timedelta(hours=24, minutes=1)], ids=["old", "too old"]
)
def test_a_form_that_is_older_than_the_kept_keys_asks_for_a_reload(root, mug, age, monkeypatch):
    now = timezone.now().timestamp()
    monkeypatch.setattr("django.core.signing.time.time", lambda: now - age.total_seconds())
    key = form_keys.new_key(User(root.user_id))
    monkeypatch.undo()
    path = f"{ITEMS}{mug.id}/receive/"

    response = root.post(path, {"form_key": key, "warehouse": "MAIN", "quantity": 5})

    if age < timedelta(hours=24):
        assert (response.status_code, on_hand(mug.id)) == (302, {"MAIN": 15})
        return
    assert (response.status_code, "Reload the page" in response.content.decode()) == (422, True)
    assert on_hand(mug.id) == {"MAIN": 10}


@pytest.mark.parametrize(
    "key",
    ["", "made up", "1:abc:def:ghi", pytest.param(TimestampSigner(salt="other").sign("1:x"), id="of another salt")],
)
def test_a_key_that_is_not_ours_does_nothing(root, mug, key):
    response = root.post(f"{ITEMS}{mug.id}/receive/", {"form_key": key, "warehouse": "MAIN", "quantity": 5})

    assert (response.status_code, "Reload the page" in response.content.decode()) == (422, True)
    assert on_hand(mug.id) == {"MAIN": 10}


def test_anothers_key_does_nothing(root, mug):
    other = signed_in("Inventory clerk")
    key = form_keys.new_key(User(other.user_id))
    response = root.post(f"{ITEMS}{mug.id}/receive/", {"form_key": key, "warehouse": "MAIN", "quantity": 5})
    assert (response.status_code, on_hand(mug.id)) == (422, {"MAIN": 10})


def test_the_key_of_one_page_is_none_of_another(root, mug):
    key = form_keys.new_key(User(root.user_id))
    for step, given in (("receive", {"quantity": 5}), ("write-off", {"quantity": 2, "reason": "lost"})):
        assert root.post(f"{ITEMS}{mug.id}/{step}/", {"form_key": key, "warehouse": "MAIN", **given}).status_code == 302
    assert on_hand(mug.id) == {"MAIN": 13}


def test_a_file_with_the_same_name_and_another_content_is_another_form(root, mug):
    path = f"{IMPORTS}upload/"
    key = key_in(root.get(path))
    answers = [
        root.post(path, {"form_key": key, "file": SimpleUploadedFile("levels.csv", content), "mode": "set"}).status_code
        for content in (b"sku,quantity\nMUG,25\n", b"sku,quantity\nMUG,26\n", b"sku,quantity\nMUG,25\n")
    ]
    assert answers == [302, 422, 302]
    assert fetch("SELECT count(*) FROM inventory_stockimport") == [(1,)]
