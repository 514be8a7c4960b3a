"""What is done to an order over the API, one step at a time."""

from tests import factories


def confirmed(client, *lines: tuple[int, int]) -> str:
    items = [{"product_id": product_id, "quantity": quantity} for product_id, quantity in lines]
    order_id = client.post("/api/v1/orders", {"items": items}).json()["id"]
    assert factories.confirmer().post(f"/api/v1/orders/{order_id}/confirm").status_code == 200
    return order_id


def step(client, order_id: str, what: str, *lines: tuple[int, int], **more):
    items = [{"product_id": product_id, "quantity": quantity} for product_id, quantity in lines]
    return client.post(f"/api/v1/orders/{order_id}/{what}", {"items": items, **more} if items else {})
