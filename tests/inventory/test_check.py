"""GET and POST /inventory/check."""

import pytest

from tests import factories
from tests.conftest import counted_statements, fetch


def test_tells_whether_the_quantity_can_be_had(api):
    product = factories.product(stock=48)

    assert api.get(f"/api/v1/inventory/check?product_id={product.id}&quantity=2").json() == {
        "product_id": product.id,
        "quantity": 2,
        "available": True,
        "available_quantity": 48,
    }
    assert api.get(f"/api/v1/inventory/check?product_id={product.id}&quantity=49").json()["available"] is False
    assert api.get(f"/api/v1/inventory/check?product_id={product.id}").json()["quantity"] == 1


def test_counts_what_a_reserve_would_find(api):
    factories.warehouse("CLOSED", is_active=False)
    factories.warehouse("EAST")
    product = factories.product(stock={"MAIN": 10, "EAST": 10, "CLOSED": 10})
    factories.reservation((product.id, 3))
    # 10 - 3 reserved - 2 safety; 10 - 12 safety is no debt of the other warehouse; a closed one sells nothing.
    fetch_all = "UPDATE inventory_stock SET safety_stock = CASE warehouse_id WHEN %s THEN 2 ELSE 12 END RETURNING 1"
    main = fetch("SELECT id FROM inventory_warehouse WHERE code = 'MAIN'")[0][0]
    fetch(fetch_all, main)

    assert api.get(f"/api/v1/inventory/check?product_id={product.id}").json()["available_quantity"] == 5


def test_one_product_that_is_not_on_sale_does_not_fail_the_page(api, staff):
    sold, archived = factories.product(stock=5), factories.product(stock=5)
    staff.delete(f"/api/v1/products/{archived.id}")
    items = [{"product_id": key, "quantity": 2} for key in (sold.id, archived.id, 999_999)]

    answer = api.post("/api/v1/inventory/check", {"items": items})

    assert answer.status_code == 200
    assert answer.json()["available"] is False
    assert [tuple(item.values()) for item in answer.json()["items"]] == [
        (sold.id, 2, True, 5, True),
        (archived.id, 2, False, 0, False),
        (999_999, 2, False, 0, False),
    ]


def test_an_archived_product_is_not_to_be_had(api, staff):
    product = factories.product(stock=5)
    staff.delete(f"/api/v1/products/{product.id}")

    assert api.get(f"/api/v1/inventory/check?product_id={product.id}").status_code == 404
    staff.patch(f"/api/v1/products/{product.id}", {"is_active": True})
    assert api.get(f"/api/v1/inventory/check?product_id={product.id}").json()["available"] is True


def test_an_unknown_product_is_a_404(api):
    response = api.get("/api/v1/inventory/check?product_id=999999")

    assert response.status_code == 404
    assert (response.json()["code"], response.json()["product_ids"]) == ("item_not_found", [999999])


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("", ["product_id"]),
        ("product_id=abc", ["product_id"]),
        ("product_id=0", ["product_id"]),
        ("product_id=1.0", ["product_id"]),
        ("product_id=%EF%BC%95", ["product_id"]),
        ("product_id=99999999999999999999", ["product_id"]),
        ("product_id=1&quantity=0", ["quantity"]),
        ("product_id=1&quantity=-1", ["quantity"]),
        ("product_id=1&quantity=1e3", ["quantity"]),
        ("product_id=1&quantity=1_000", ["quantity"]),
        ("product_id=1&quantity=+7", ["quantity"]),
        ("product_id=1&quantity=1000001", ["quantity"]),
        ("product_id=1&sku=A", ["sku"]),
        ("product_id=1&product_id=2", ["product_id"]),
    ],
)
def test_a_wrong_parameter_is_named(api, query, fields):
    response = api.get(f"/api/v1/inventory/check?{query}")

    assert response.status_code == 400
    assert [error["field"] for error in response.json()["errors"]] == fields


def test_bulk_judges_lines_of_one_product_together(api):
    product, other = factories.product(stock=5), factories.product(stock=5)
    line = {"product_id": product.id, "quantity": 3}

    answer = api.post("/api/v1/inventory/check", {"items": [line, line, {"product_id": other.id}]}).json()

    assert answer["available"] is False
    assert [item["available"] for item in answer["items"]] == [False, False, True]
    assert [item["available_quantity"] for item in answer["items"]] == [5, 5, 5]


def test_bulk_takes_one_statement_for_five_hundred_lines_and_no_more_lines(api):
    product = factories.product(stock=500)
    lines = [{"product_id": product.id, "quantity": 1}] * 500

    with counted_statements() as statements:
        assert len(api.post("/api/v1/inventory/check", {"items": lines}).json()["items"]) == 500
    assert len(statements) == 1
    assert api.post("/api/v1/inventory/check", {"items": [*lines, lines[0]]}).status_code == 400
