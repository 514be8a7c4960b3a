"""Who works in some warehouses only neither sees nor changes what is elsewhere, whichever way they come."""

import pytest
from django.contrib.auth.models import Group

from inventory import services as inventory
from inventory.counts import counting, posting
from inventory.imports import staging, steps
from inventory.stock import items, ledger, warehouses
from shop.toolkit.callers import SYSTEM, User
from shop.toolkit.db import transactions
from shop.toolkit.db.pages import PageRequest
from shop.toolkit.ids import new_id
from tests import factories
from tests.conftest import counted_statements, fetch
from tests.inventory.imports import on_hand
from tests.stock_rows import assert_books_are_right, set_stock
from users import accounts
from users import models as user_models

ITEMS, IMPORTS, WAREHOUSES = "/api/v1/inventory/items", "/api/v1/inventory/imports", "/api/v1/inventory/warehouses"


def manager(*codes: str) -> accounts.User:
    """A manager of stock who works in these warehouses."""
    account = factories.user(is_staff=True)
    user_models.User.objects.get(pk=account.id).groups.set(Group.objects.filter(name="Inventory manager"))
    transactions.run(lambda: warehouses.set_scope(account.id, warehouses=codes, caller=User(0)))
    return account


@pytest.fixture
def mug(database):
    for code in ("EAST", "WEST"):
        factories.warehouse(code)
    return factories.product(sku="MUG", stock={"MAIN": 10, "EAST": 20, "WEST": 40})


@pytest.fixture
def easterner(mug):
    return factories.client(manager("EAST"))


def test_an_item_is_what_it_is_in_the_scope(easterner, mug):
    seen = easterner.get(f"{ITEMS}/{mug.id}").json()
    assert ([stock["warehouse"] for stock in seen["stocks"]], seen["on_hand"]) == (["EAST"], 20)
    assert easterner.get(ITEMS).json()["results"][0]["on_hand"] == 20
    as_of = easterner.get(f"{ITEMS}/{mug.id}?as_of=2099-01-01T00:00:00Z").json()
    assert [stock["warehouse"] for stock in as_of["stocks"]] == ["EAST"]
    ledger = easterner.get(f"{ITEMS}/{mug.id}/movements").json()["results"]
    assert {movement["warehouse"] for movement in ledger} == {"EAST"}
    assert [place["code"] for place in easterner.get(WAREHOUSES).json()["results"]] == ["EAST"]
    assert easterner.get(f"{WAREHOUSES}/MAIN").status_code == 404
    rows = b"".join(easterner.get("/api/v1/inventory/exports/stock.csv").streaming_content).decode().splitlines()
    assert [row.split(",")[1] for row in rows[1:]] == ["EAST"]
    assert easterner.get("/api/v1/inventory/exports/stock.csv?warehouse=WEST").status_code == 404


def test_who_claims_units_elsewhere_is_not_told(easterner, mug):
    factories.reservation((mug.id, 35))  # from WEST, which can serve it whole
    factories.reservation((mug.id, 15))  # from EAST
    explanation = easterner.get(f"{ITEMS}/{mug.id}/explain").json()
    assert [(hold["warehouse"], hold["quantity"]) for hold in explanation["holds"]] == [("EAST", 15)]


ELSEWHERE = [
    ("post", "/adjustments", {"warehouse": "WEST", "mode": "adjust", "quantity": 1, "reason": "found"}),
    (
        "post",
        "/adjustments",
        {"warehouse": "WEST", "mode": "set", "quantity": 1, "expected_on_hand": 40, "reason": "lost"},
    ),
    ("patch", "/stocks/WEST", {"safety_stock": 1}),
]


@pytest.mark.parametrize(("method", "path", "body"), ELSEWHERE)
def test_stock_elsewhere_is_not_there_to_be_changed(easterner, mug, method, path, body):
    refused = getattr(easterner, method)(f"{ITEMS}/{mug.id}{path}", body)
    assert (refused.status_code, refused.json()["code"]) == (404, "warehouse_not_found")
    assert on_hand(mug.id) == {"MAIN": 10, "EAST": 20, "WEST": 40}
    assert fetch("SELECT sum(safety_stock) FROM inventory_stock") == [(0,)]


def test_nor_to_be_moved_counted_sold_loaded_or_taken_away(easterner, mug):
    items = [{"product_id": mug.id, "quantity": 1}]
    for legs in (("EAST", "WEST"), ("WEST", "EAST")):
        body = {"from_warehouse": legs[0], "to_warehouse": legs[1], "items": items}
        assert easterner.post("/api/v1/inventory/transfers", body).status_code == 404
    assert easterner.patch(f"{WAREHOUSES}/WEST", {"name": "Ours"}).status_code == 404
    assert easterner.delete(f"{WAREHOUSES}/WEST").status_code == 404
    assert easterner.post("/update_stock", {"product_id": mug.id, "quantity": 21}).status_code == 409
    assert easterner.post("/update_stock", {"product_id": mug.id, "quantity": 2}).status_code == 200

    me = fetch("SELECT user_id FROM inventory_warehousescope")[0][0]
    with pytest.raises(inventory.WarehouseNotFound):
        counting.open_count(count_id=new_id(), warehouse="WEST", note="", caller=User(me))
    count_id = new_id()
    counting.open_count(count_id=count_id, warehouse="WEST", note="", caller=SYSTEM)
    with pytest.raises(inventory.CountNotFound):
        counting.record_count(count_id, product_id=mug.id, counted=1, caller=User(me))
    with pytest.raises(inventory.CountNotFound):
        posting.close_count(count_id, caller=User(me))
    with pytest.raises(inventory.CountNotFound):
        counting.get_count(count_id, caller=User(me))
    assert on_hand(mug.id) == {"MAIN": 10, "EAST": 18, "WEST": 40}
    assert_books_are_right()


def test_a_file_is_refused_where_it_speaks_of_other_warehouses(easterner, mug, tmp_path):
    path = tmp_path / "levels.csv"
    path.write_text("sku,warehouse,quantity\nMUG,EAST,1\nMUG,WEST,2\n")
    me = fetch("SELECT user_id FROM inventory_warehousescope")[0][0]

    def load(actor_id: int | None, **options) -> inventory.StockImport:
        request = staging.ImportRequest(file_name="levels.csv", on_error="skip", again=True, **options)
        limits = staging.FileLimits.of_upload(1_000_000)
        return transactions.run(
            lambda: steps.load_import(
                request, import_id=new_id(), path=path, limits=limits, caller=User(actor_id) if actor_id else SYSTEM
            )
        )

    mine = load(me)
    assert (mine.changed, mine.refused) == (1, 1)
    assert "there is no such warehouse" in mine.refused_rows[0].detail
    assert on_hand(mug.id) == {"MAIN": 10, "EAST": 1, "WEST": 40}

    others = load(None)
    assert on_hand(mug.id)["WEST"] == 2
    assert [found["id"] for found in easterner.get(IMPORTS).json()["results"]] == [str(mine.id)]
    for path_of_others in (f"{IMPORTS}/{others.id}", f"{IMPORTS}/{others.id}/errors"):
        assert easterner.get(path_of_others).status_code == 404
    assert easterner.post(f"{IMPORTS}/{others.id}/undo").status_code == 404
    reviewed = load(None, dry_run=True, review=True)
    with pytest.raises(inventory.ImportNotFound):
        steps.approve_import(reviewed.id, caller=User(me))
    assert easterner.post(f"{IMPORTS}/{mine.id}/undo").status_code == 200


def test_what_somebody_loaded_elsewhere_before_they_were_limited_is_no_longer_theirs(mug, tmp_path):
    path = tmp_path / "levels.csv"
    path.write_text("sku,warehouse,quantity\nMUG,WEST,1\n")
    account = manager()

    def load(**options) -> inventory.StockImport:
        request = staging.ImportRequest(file_name="levels.csv", again=True, **options)
        limits = staging.FileLimits.of_upload(1_000_000)
        return transactions.run(
            lambda: steps.load_import(request, import_id=new_id(), path=path, limits=limits, caller=User(account.id))
        )

    done, waiting = load(), load(dry_run=True, review=True)
    warehouses.set_scope(account.id, warehouses=["EAST"], caller=User(0))
    client = factories.client(account)
    assert client.get(f"{IMPORTS}/{done.id}").status_code == 404
    assert client.post(f"{IMPORTS}/{done.id}/undo").status_code == 404
    with pytest.raises(inventory.ImportNotFound):
        steps.approve_import(waiting.id, caller=User(account.id))
    assert on_hand(mug.id)["WEST"] == 1


def test_the_same_file_of_somebody_elsewhere_is_refused_without_saying_whose(mug, tmp_path):
    path = tmp_path / "levels.csv"
    path.write_text("sku,warehouse,quantity\nMUG,EAST,1\nMUG,WEST,2\n")

    def load(place: str, *, again: bool = False) -> None:
        request = staging.ImportRequest(file_name="levels.csv", on_error="skip", again=again)
        limits = staging.FileLimits.of_upload(1_000_000)
        actor_id = manager(place).id
        transactions.run(
            lambda: steps.load_import(
                request, import_id=new_id(), path=path, limits=limits, caller=User(actor_id) if actor_id else SYSTEM
            )
        )

    load("EAST")
    with pytest.raises(inventory.AlreadyImported) as refused:
        load("WEST")
    assert (refused.value.import_id, "(import" in str(refused.value)) == (None, False)
    load("WEST", again=True)
    assert on_hand(mug.id) == {"MAIN": 10, "EAST": 1, "WEST": 2}


def test_without_a_scope_or_with_it_taken_back_all_is_there(mug):
    account = manager()
    assert factories.client(account).get(f"{ITEMS}/{mug.id}").json()["on_hand"] == 70
    warehouses.set_scope(account.id, warehouses=["EAST", "WEST"], caller=User(0))
    assert factories.client(account).get(f"{ITEMS}/{mug.id}").json()["on_hand"] == 60
    warehouses.set_scope(account.id, warehouses=["WEST"], caller=User(0))
    assert factories.client(account).get(f"{ITEMS}/{mug.id}").json()["on_hand"] == 40
    warehouses.set_scope(account.id, warehouses=[], caller=User(0))
    assert factories.client(account).get(f"{ITEMS}/{mug.id}").json()["on_hand"] == 70


def test_nobody_widens_their_own_scope_and_none_gives_what_they_have_not(mug):
    me = manager("EAST").id
    with pytest.raises(inventory.ScopeNotYours):
        warehouses.set_scope(me, warehouses=[], caller=User(me))
    for wanted in (["WEST"], ["EAST"], []):
        with pytest.raises(inventory.ScopeNotYours):
            warehouses.set_scope(manager().id, warehouses=wanted, caller=User(me))
    assert fetch("SELECT count(*) FROM inventory_warehousescope") == [(1,)]


def test_a_warehouse_that_somebody_works_in_is_in_use(database):
    factories.warehouse("NEW")
    account = manager("NEW")
    # Were it deleted, they would work in all.
    with pytest.raises(inventory.WarehouseInUse):
        warehouses.delete_warehouse("NEW", caller=SYSTEM)
    warehouses.set_scope(account.id, warehouses=[], caller=User(0))
    warehouses.delete_warehouse("NEW", caller=SYSTEM)


@pytest.mark.parametrize("step", ["confirm", "release", "extend"])
def test_a_hold_that_reaches_out_is_not_theirs_by_the_api_either(easterner, mug, step):
    outside = factories.reservation((mug.id, 35), owner="api")  # from WEST
    refused = easterner.post(f"/api/v1/inventory/reservations/{outside.id}/{step}")
    assert (refused.status_code, refused.json()["code"]) == (404, "reservation_not_found")
    assert inventory.get_reservation(outside.id, caller=SYSTEM).state == "held"
    inside = factories.reservation((mug.id, 15), owner="api")  # from EAST
    assert easterner.post(f"/api/v1/inventory/reservations/{inside.id}/{step}").status_code == 200


def test_low_and_out_are_those_of_the_scope(mug):
    factories.product(sku="ELSEWHERE", stock={"MAIN": 1})
    empty = factories.product(sku="EMPTY", stock={"EAST": 0, "WEST": 9})
    set_stock(empty.id, "EAST", reorder_point=0)
    me = manager("EAST").id

    health = inventory.stock_health(caller=User(me))
    assert (health.low, health.out) == (1, 1)
    low = items.list_items(page=PageRequest(), low_stock=True, caller=User(me)).results
    assert [item.product_id for item in low] == [empty.id]
    elsewhere = items.list_items(page=PageRequest(), low_stock=False, caller=User(me)).results
    assert {item.sku: item.low_stock for item in elsewhere} == {"MUG": False, "ELSEWHERE": False}
    everywhere = inventory.stock_health(caller=SYSTEM)
    assert (everywhere.low, everywhere.out) == (1, 0)


def test_sales_are_those_of_the_scope(mug):
    me = manager("EAST").id
    for quantity in (3, 30):  # the first from MAIN, the second from WEST, which alone can serve it whole
        transactions.run(
            lambda quantity=quantity: ledger.sell(
                product_id=mug.id, quantity=quantity, note="", reference="", caller=SYSTEM
            )
        )
    transactions.run(lambda: ledger.sell(product_id=mug.id, quantity=5, note="", reference="", caller=User(me)))
    assert [mover.sold for mover in inventory.sales(caller=User(me)).top] == [5]
    assert [(mover.sold, mover.available) for mover in inventory.sales(caller=SYSTEM).top] == [(38, 32)]
    assert inventory.sales(caller=User(me)).soon_out[0].available == 15


def test_the_scope_costs_a_change_no_statement(mug):
    counts = []
    for actor_id in (None, manager("EAST").id):
        with counted_statements() as statements:
            transactions.run(
                lambda actor_id=actor_id: inventory.adjust(
                    product_id=mug.id, warehouse="EAST", delta=1, reason="found", note="", reference="",
                    caller=User(actor_id) if actor_id else SYSTEM,
                )
            )  # fmt: skip
        counts.append(len(statements))
    assert counts[0] == counts[1]
