"""GET and POST /inventory/warehouses, GET, PATCH and DELETE /inventory/warehouses/{code}."""

import pytest

from tests import factories
from tests.conftest import fetch

PATH = "/api/v1/inventory/warehouses"


def test_a_fresh_database_has_main(staff):
    (main,) = staff.get(PATH).json()["results"]

    assert (main["code"], main["priority"], main["is_active"]) == ("MAIN", 100, True)


def test_create_change_and_delete(staff):
    created = staff.post(PATH, {"code": "EAST", "name": "East", "priority": 5})
    changed = staff.patch(f"{PATH}/EAST", {"name": "Far east", "is_active": False})

    assert created.status_code == 201
    assert changed.json() == {**created.json(), "name": "Far east", "is_active": False}
    assert staff.get(f"{PATH}/EAST").json() == changed.json()
    assert [warehouse["code"] for warehouse in staff.get(PATH).json()["results"]] == ["EAST", "MAIN"]
    assert staff.delete(f"{PATH}/EAST").status_code == 204
    assert staff.get(f"{PATH}/EAST").json()["code"] == "warehouse_not_found"


def test_a_warehouse_with_stock_or_its_history_stays(staff):
    product = factories.product(stock={"MAIN": 1})
    row = {"warehouse": "MAIN", "mode": "adjust", "quantity": -1, "reason": "lost"}
    staff.post(f"/api/v1/inventory/items/{product.id}/adjustments", row)

    response = staff.delete(f"{PATH}/MAIN")

    assert response.status_code == 409
    assert response.json()["code"] == "warehouse_in_use"
    assert fetch("SELECT code FROM inventory_warehouse") == [("MAIN",)]


def test_a_code_is_taken_once(staff):
    response = staff.post(PATH, {"code": "MAIN"})

    assert response.status_code == 409
    assert fetch("SELECT count(*) FROM inventory_warehouse") == [(1,)]


@pytest.mark.parametrize("code", ["", "a b", "x" * 33, "ä", "a/b", "-a", None, 5])
def test_a_code_fits_into_a_path(staff, code):
    response = staff.post(PATH, {"code": code})

    assert response.status_code == 400, response.content
    assert response.json()["errors"][0]["field"] == "code"


def test_writes_take_the_permission(customer):
    viewer = factories.client(factories.user(is_staff=True, group="Inventory viewer"))

    assert viewer.get(PATH).status_code == 200
    for client in (customer, viewer):
        assert client.post(PATH, {"code": "EAST"}).status_code == 403
        assert client.patch(f"{PATH}/MAIN", {"name": "X"}).status_code == 403
        assert client.delete(f"{PATH}/MAIN").status_code == 403


def test_a_warehouse_that_never_held_anything_is_deleted_with_its_rows(staff):
    factories.warehouse("EAST")
    product = factories.product(stock={"MAIN": 1, "EAST": 0})

    assert staff.delete(f"{PATH}/EAST").status_code == 204
    assert staff.delete(f"{PATH}/MAIN").json()["code"] == "warehouse_in_use"
    assert [row["warehouse"] for row in staff.get(f"/api/v1/inventory/items/{product.id}").json()["stocks"]] == ["MAIN"]


def test_an_inactive_warehouse_serves_no_new_order(staff, customer):
    product = factories.product(stock=5)
    staff.patch(f"{PATH}/MAIN", {"is_active": False})

    response = customer.post("/api/v1/orders", {"items": [{"product_id": product.id, "quantity": 1}]})

    assert response.json()["shortages"] == [{"product_id": product.id, "requested": 1, "available": 0}]
