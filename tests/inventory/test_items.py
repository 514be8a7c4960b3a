"""GET /inventory/items and /inventory/items/{product_id}."""

import pytest

from inventory import services as inventory
from shop.toolkit.callers import SYSTEM
from tests import factories
from tests.conftest import counted_statements, fetch
from tests.stock_rows import assert_books_are_right, set_stock


def test_the_detail_has_totals_and_stock_per_warehouse(staff):
    factories.warehouse("EAST", priority=200)
    factories.warehouse("CLOSED", priority=300, is_active=False)
    product = factories.product(sku="MUG", stock={"MAIN": 10, "EAST": 3, "CLOSED": 7})
    factories.reservation((product.id, 4))
    set_stock(product.id, "EAST", safety_stock=5, reorder_point=2, backorder_limit=1)

    item = staff.get(f"/api/v1/inventory/items/{product.id}").json()

    stocks = {stock.pop("warehouse"): stock for stock in item.pop("stocks")}
    assert item == {
        "product_id": product.id,
        "sku": "MUG",
        "name": product.name,
        "on_hand": 20,
        "reserved": 4,
        "committed": 0,
        "unavailable": 0,
        "safety_stock": 5,
        "available": 6,
        "low_stock": True,
    }
    assert list(stocks) == ["MAIN", "EAST", "CLOSED"]
    assert stocks["MAIN"] == {
        "on_hand": 10,
        "reserved": 4,
        "committed": 0,
        "unavailable": 0,
        "safety_stock": 0,
        "available": 6,
        "low_stock": False,
        "reorder_point": None,
        "backorder_limit": 0,
        "is_active": True,
    }
    assert (stocks["EAST"]["available"], stocks["EAST"]["low_stock"]) == (0, True)
    assert (stocks["CLOSED"]["on_hand"], stocks["CLOSED"]["available"]) == (7, 0)


def test_the_list_filters_by_warehouse_low_stock_and_search(staff):
    factories.warehouse("EAST")
    plenty = factories.product(sku="PLENTY", stock=9)
    low = factories.product(sku="LOW", stock={"MAIN": 9, "EAST": 2})
    factories.product(sku="NONE", stock={})
    set_stock(low.id, "EAST", reorder_point=2)

    def skus(query: str) -> list[str]:
        response = staff.get(f"/api/v1/inventory/items?{query}")
        assert response.status_code == 200, response.content
        return [item["sku"] for item in response.json()["results"]]

    assert skus("") == ["PLENTY", "LOW", "NONE"]
    assert skus("warehouse=EAST") == ["LOW"]
    assert skus("low_stock=true") == ["LOW"]
    assert skus("low_stock=false") == ["PLENTY", "NONE"]
    assert skus("warehouse=MAIN&low_stock=true") == []
    assert skus("search=plen") == ["PLENTY"]
    assert skus("search=plen&low_stock=true") == []
    for sku in ("PLENTY", "LOW", "NONE"):
        (item,) = staff.get(f"/api/v1/inventory/items?search={sku}").json()["results"]
        assert item["low_stock"] == (sku in skus("low_stock=true"))
    assert staff.get(f"/api/v1/inventory/items/{plenty.id}").json()["low_stock"] is False


def test_the_list_takes_the_same_statements_for_any_page(staff):
    factories.warehouse("EAST")
    for _ in range(20):
        factories.product(stock={"MAIN": 1, "EAST": 1})

    with counted_statements() as two:
        staff.get("/api/v1/inventory/items?page_size=2")
    with counted_statements() as twenty:
        assert len(staff.get("/api/v1/inventory/items?page_size=20").json()["results"]) == 20

    # The caller, items, their stock.
    assert len(two) == len(twenty) == 4


@pytest.mark.parametrize(
    "path", ["/api/v1/inventory/items", "/api/v1/inventory/items/1", "/api/v1/inventory/warehouses"]
)
def test_only_staff_see_it(api, customer, path):
    assert api.get(path).status_code == 401
    assert customer.get(path).status_code == 403


def test_an_unknown_product_is_a_404(staff):
    assert staff.get("/api/v1/inventory/items/999999").json()["code"] == "item_not_found"
    assert staff.get("/api/v1/inventory/items/99999999999999999999").json()["code"] == "not_found"


def test_low_is_at_or_below_a_reorder_point_that_is_set_where_it_is_sold(staff):
    factories.warehouse("EAST")
    factories.warehouse("CLOSED", is_active=False)
    product = factories.product(stock={"MAIN": 1, "EAST": 5, "CLOSED": 0})
    path = f"/api/v1/inventory/items/{product.id}"

    def low() -> tuple[bool, list[str]]:
        item = staff.get(path).json()
        listed = staff.get("/api/v1/inventory/items?low_stock=true").json()["results"]
        assert bool(listed) == item["low_stock"] == bool(inventory.stock_health(caller=SYSTEM).low)
        return item["low_stock"], [stock["warehouse"] for stock in item["stocks"] if stock["low_stock"]]

    assert low() == (False, [])
    staff.patch(f"{path}/stocks/CLOSED", {"reorder_point": 100})
    staff.patch(f"{path}/stocks/MAIN", {"reorder_point": 0})
    assert low() == (False, [])  # nothing is sold from the closed one, and one unit is more than none
    staff.post(f"{path}/adjustments", {"warehouse": "MAIN", "mode": "adjust", "quantity": -1, "reason": "lost"})
    assert low() == (True, ["MAIN"])  # 0 is a point
    assert staff.patch(f"{path}/stocks/MAIN", {"reorder_point": None}).json()["reorder_point"] is None
    assert low() == (False, [])
    staff.patch(f"{path}/stocks/EAST", {"reorder_point": 5})
    assert low() == (True, ["EAST"])
    staff.delete(f"/api/v1/products/{product.id}")
    assert low() == (False, [])


def test_out_is_a_product_on_sale_of_which_nothing_is_available(staff):
    factories.warehouse("CLOSED", is_active=False)
    factories.product(stock={})
    factories.product(stock={"CLOSED": 5})
    factories.product(stock=1)
    archived = factories.product(stock={})
    staff.delete(f"/api/v1/products/{archived.id}")

    assert inventory.stock_health(caller=SYSTEM).out == 2


def test_a_row_that_holds_nothing_can_be_removed_and_comes_back_with_units(staff):
    factories.warehouse("EAST")
    product = factories.product(stock={"MAIN": 5, "EAST": 0})
    path = f"/api/v1/inventory/items/{product.id}"
    units = {"mode": "adjust", "reason": "found"}

    def places() -> list[str]:
        return [stock["warehouse"] for stock in staff.get(path).json()["stocks"]]

    assert staff.delete(f"{path}/stocks/MAIN").json()["code"] == "stock_in_use"
    assert staff.delete(f"{path}/stocks/EAST").status_code == 204
    assert fetch("SELECT count(*) FROM inventory_stock") == [(1,)]  # it never held anything
    staff.patch(f"{path}/stocks/MAIN", {"reorder_point": 3, "safety_stock": 1})
    staff.post(f"{path}/adjustments", {"warehouse": "MAIN", **units, "quantity": -5})
    for _ in range(2):
        assert staff.delete(f"{path}/stocks/MAIN").status_code == 204
    assert (places(), staff.get(path).json()["low_stock"]) == ([], False)
    first = fetch("SELECT created_at FROM inventory_movement WHERE seq = 1")[0][0]
    then = staff.get(f"{path}?as_of={first:%Y-%m-%dT%H:%M:%S.%fZ}").json()
    assert [(stock["warehouse"], stock["on_hand"]) for stock in then["stocks"]] == [("MAIN", 5)]
    assert staff.get(f"{path}?as_of=2100-01-01T00:00:00Z").json()["stocks"] == []
    assert len(staff.get(f"{path}/movements").json()["results"]) == 2
    staff.post(f"{path}/adjustments", {"warehouse": "MAIN", **units, "quantity": 2})
    assert (places(), staff.get(path).json()["safety_stock"]) == (["MAIN"], 0)
    assert_books_are_right()


def test_a_promised_row_is_not_removed(staff):
    product = factories.product(stock={"MAIN": 0})
    set_stock(product.id, "MAIN", backorder_limit=5)
    factories.reservation((product.id, 2))

    answer = staff.delete(f"/api/v1/inventory/items/{product.id}/stocks/MAIN")

    assert (answer.status_code, answer.json()["code"]) == (409, "stock_in_use")
    assert "2 promised" in answer.json()["detail"]
