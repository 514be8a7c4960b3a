"""GET and POST /products, GET, PATCH and DELETE /products/{id}."""

import pytest

from tests import factories
from tests.conftest import counted_statements, fetch

MUG = {"sku": "MUG", "name": "Mug", "description": "Blue", "price": "9.90", "currency": "EUR"}


def rows() -> list[int]:
    tables = ("products_product", "inventory_item", "inventory_stock", "inventory_movement")
    return [fetch(f"SELECT count(*) FROM {table}")[0][0] for table in tables]


def test_create_provisions_the_inventory_item_and_its_stock(staff):
    factories.warehouse("EAST")
    levels = [{"warehouse": "MAIN", "quantity": 50}, {"warehouse": "EAST", "quantity": 0}]

    response = staff.post("/api/v1/products", {**MUG, "initial_stock": levels})

    assert response.status_code == 201
    product = response.json()
    item = product.pop("inventory")
    assert {name: product[name] for name in MUG} == MUG
    assert set(product) == {*MUG, "id", "is_active", "created_at", "updated_at"}
    assert (item["product_id"], item["sku"], item["on_hand"], item["available"]) == (product["id"], "MUG", 50, 50)
    assert [(stock["warehouse"], stock["on_hand"]) for stock in item["stocks"]] == [("MAIN", 50), ("EAST", 0)]
    assert fetch("SELECT kind, reason, on_hand_delta, on_hand, actor_id IS NOT NULL FROM inventory_movement") == [
        ("receive", "received", 50, 50, True)
    ]


def test_create_without_stock_provisions_an_empty_item(staff):
    item = staff.post("/api/v1/products", {"sku": "MUG", "name": "Mug", "price": "9.90"}).json()["inventory"]

    assert (item["on_hand"], item["available"], item["low_stock"], item["stocks"]) == (0, 0, False, [])
    assert rows() == [1, 1, 0, 0]


def test_an_unknown_warehouse_leaves_no_product(staff):
    levels = [{"warehouse": "MAIN", "quantity": 5}, {"warehouse": "MOON", "quantity": 5}]

    response = staff.post("/api/v1/products", {**MUG, "initial_stock": levels})

    assert response.status_code == 404
    assert response.json()["code"] == "warehouse_not_found"
    assert response.json()["warehouses"] == ["MOON"]
    assert rows() == [0, 0, 0, 0]


def test_a_taken_sku_leaves_nothing_of_the_second(staff):
    staff.post("/api/v1/products", {**MUG, "initial_stock": [{"warehouse": "MAIN", "quantity": 5}]})
    before = rows()

    response = staff.post("/api/v1/products", {**MUG, "initial_stock": [{"warehouse": "MAIN", "quantity": 7}]})

    assert response.status_code == 409
    assert (response.json()["code"], response.json()["sku"]) == ("sku_exists", "MUG")
    assert rows() == before


def test_stock_above_the_highest_level_leaves_no_product(staff):
    levels = [{"warehouse": "MAIN", "quantity": 1_000_000_000}, {"warehouse": "MAIN", "quantity": 1}]

    response = staff.post("/api/v1/products", {**MUG, "initial_stock": levels})

    assert response.status_code == 400
    assert response.json()["errors"][0]["code"] == "out_of_range"
    assert rows() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"sku": ""}, "sku"),
        ({"sku": 5}, "sku"),
        ({"sku": "x" * 65}, "sku"),
        ({"name": None}, "name"),
        ({"price": "-1"}, "price"),
        ({"price": "9,90"}, "price"),
        ({"price": " 9.90"}, "price"),
        ({"price": "\uff19"}, "price"),
        ({"price": "NaN"}, "price"),
        ({"price": True}, "price"),
        ({"price": "1" * 13}, "price"),
        ({"price": "9.999"}, "price"),
        ({"price": "9.5", "currency": "JPY"}, "price"),
        ({"currency": "eur"}, "currency"),
        ({"currency": "XXX"}, "currency"),
        ({"initial_stock": [{"warehouse": "MAIN", "quantity": -1}]}, "initial_stock.0.quantity"),
        ({"initial_stock": [{"warehouse": "MAIN", "quantity": 1_000_000_001}]}, "initial_stock.0.quantity"),
        ({"initial_stock": [{"warehouse": "MAIN"}]}, "initial_stock.0.quantity"),
        ({"colour": "blue"}, "colour"),
    ],
)
def test_a_wrong_field_is_named_and_nothing_is_created(staff, change, field):
    response = staff.post("/api/v1/products", {**MUG, **change})

    assert response.status_code == 400
    assert [error["field"] for error in response.json()["errors"]] == [field]
    assert rows() == [0, 0, 0, 0]


@pytest.mark.parametrize(("currency", "price", "shown"), [("JPY", "500", "500"), ("KWD", "1.25", "1.250")])
def test_a_price_has_the_decimals_of_its_currency(staff, currency, price, shown):
    created = staff.post("/api/v1/products", {**MUG, "price": price, "currency": currency}).json()

    assert created["price"] == shown
    assert staff.get(f"/api/v1/products/{created['id']}").json()["price"] == shown


def test_only_staff_with_the_permission_write(api, customer):
    viewer, product = factories.client(factories.user(is_staff=True)), factories.product()
    path = f"/api/v1/products/{product.id}"

    for client, status in ((api, 401), (customer, 403), (viewer, 403)):
        assert client.post("/api/v1/products", MUG).status_code == status
        assert client.patch(path, {"name": "Mine"}).status_code == status
        assert client.delete(path).status_code == status
    assert api.get(path).json()["name"] == product.name


def test_a_change_reaches_the_inventory_items_labels_and_no_order(staff):
    buyer, product = factories.user(), factories.product(sku="OLD", stock=9, price="5.00")
    order = factories.order(buyer, (product.id, 1))

    changed = staff.patch(f"/api/v1/products/{product.id}", {"sku": "NEW", "name": "New", "price": "6.00"})

    assert changed.json()["sku"] == "NEW"
    assert staff.get(f"/api/v1/inventory/items/{product.id}").json()["sku"] == "NEW"
    (line,) = staff.get(f"/api/v1/orders/{order.id}").json()["items"]
    assert (line["sku"], line["unit_price"]) == ("OLD", "5.00")


def test_a_change_to_a_taken_sku_changes_nothing(staff):
    factories.product(sku="TAKEN")
    product = factories.product(sku="FREE")

    response = staff.patch(f"/api/v1/products/{product.id}", {"sku": "TAKEN", "name": "New"})

    assert response.status_code == 409
    assert fetch("SELECT sku, name FROM inventory_item WHERE product_id = %s", product.id) == [("FREE", product.name)]


def test_delete_archives(api, staff):
    product = factories.product(stock=3)
    path = f"/api/v1/products/{product.id}"

    assert staff.delete(path).status_code == 204
    assert staff.delete(path).status_code == 204
    assert api.get(path).json()["code"] == "product_not_found"
    assert api.get("/api/v1/products").json()["results"] == []
    assert staff.get(path).json()["is_active"] is False
    assert fetch("SELECT on_hand FROM inventory_stock") == [(3,)]


def test_the_list_is_searched_filtered_and_ordered(api):
    for sku, price, currency in (("A", "3.00", "EUR"), ("B", "1.00", "EUR"), ("C", "2.00", "USD")):
        factories.product(sku=sku, price=price, currency=currency)

    def skus(query: str) -> str:
        return "".join(product["sku"] for product in api.get(f"/api/v1/products?{query}").json()["results"])

    assert skus("ordering=price") == "BCA"
    assert skus("ordering=-price") == "ACB"
    assert skus("ordering=-id") == "CBA"
    assert skus("currency=USD") == "C"
    assert skus("search=b") == "B"


def test_pages_go_forth_and_back_over_equal_values(api):
    for number in range(7):
        factories.product(sku=f"P{number}", price="1.00" if number < 6 else "0.50")
    url, seen = "/api/v1/products?ordering=-price&page_size=3", []
    while url:
        page = api.get(url).json()
        seen.append([product["sku"] for product in page["results"]])
        url = page["next"]

    assert seen == [["P5", "P4", "P3"], ["P2", "P1", "P0"], ["P6"]]
    back = api.get(page["previous"]).json()
    assert [product["sku"] for product in back["results"]] == seen[1]
    first = api.get(back["previous"]).json()
    assert [product["sku"] for product in first["results"]] == seen[0]
    assert first["previous"] is None


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("page_size=0", "page_size"),
        ("page_size=201", "page_size"),
        ("page_size=1000000000", "page_size"),
        ("page_size=abc", "page_size"),
        ("cursor=abc", "cursor"),
        ("ordering=password", "ordering"),
        ("is_active=maybe", "is_active"),
        ("page=2", "page"),
        ("search=a&search=b", "search"),
        ("search=%00", "search"),
    ],
)
def test_a_wrong_parameter_is_named(api, query, field):
    response = api.get(f"/api/v1/products?{query}")

    assert response.status_code == 400
    assert [error["field"] for error in response.json()["errors"]] == [field]


def test_a_cursor_of_another_ordering_is_refused(api):
    for _ in range(2):
        factories.product()
    cursor = api.get("/api/v1/products?page_size=1").json()["next"].split("cursor=")[1].split("&")[0]

    assert api.get(f"/api/v1/products?ordering=name&cursor={cursor}").status_code == 400


def test_the_list_takes_one_statement_for_any_page(api):
    for _ in range(12):
        factories.product()

    with counted_statements() as statements:
        assert len(api.get("/api/v1/products").json()["results"]) == 12
    assert len(statements) == 1
