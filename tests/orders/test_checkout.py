from tests import factories

JSON = "application/json"


def test_holds_the_stock_and_answers_with_the_order(customer):
    product = factories.product(stock=10, price="9.90")

    response = customer.post("/api/v1/orders", {"items": [{"product_id": product.id, "quantity": 3}]}, JSON)

    assert response.status_code == 201, response.content
    order = response.json()
    assert order["status"] == "pending"
    assert order["total"] == "29.70"
