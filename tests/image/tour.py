"""Once through the shop over HTTP, as a proxy before it would pass the requests on."""

import httpx

HOST = "shop.example"
# What a proxy says: it spoke HTTPS, for this host, with somebody there.
FROM_PROXY = {"Host": HOST, "X-Forwarded-Proto": "https", "X-Forwarded-For": "198.51.100.7"}
STAFF = {"email": "staff@shop.example", "password": "a long walk in the rain"}
BUYER = {"email": "anna@shop.example", "password": "nine lives of a cat"}


class Tour:
    """Asks, and notes what was asked; an answer other than the expected one ends it."""

    def __init__(self, base: str) -> None:
        self._client = httpx.Client(base_url=base, headers=FROM_PROXY, timeout=10)
        self.steps: list[str] = []

    def ask(self, method: str, path: str, expected: int, who: str = "", **more: object) -> httpx.Response:
        headers = {"Authorization": f"Bearer {who}"} if who else {}
        headers |= more.pop("headers", {})  # type: ignore[operator]
        answer = self._client.request(method, path, headers=headers, **more)  # type: ignore[arg-type]
        self.steps.append(f"{method} {path} {answer.status_code}")
        assert answer.status_code == expected, f"{self.steps[-1]} instead of {expected}: {answer.text[:500]}"
        return answer

    def post(self, path: str, expected: int, who: str = "", **more: object) -> dict:
        return self.ask("POST", f"/api/v1/{path}", expected, who, **more).json()

    def get(self, path: str, who: str = "") -> dict:
        return self.ask("GET", f"/api/v1/{path}", 200, who).json()

    def pages(self) -> None:
        """What is no JSON: the documentation, the staff's door, a file of ours and one of a package's."""
        for path in (
            "/api/docs",
            "/api/schema",
            "/admin/login/",
            "/static/shop/forms.js",
            "/static/admin/css/base.css",
        ):
            self.ask("GET", path, 200)

    def trade(self) -> None:
        """Create, sell, ship, take back, load and cancel; afterwards two units are sold and none is held."""
        staff = self.post("auth/token", 200, json=STAFF)["access"]
        jug = {
            "sku": "JUG", "name": "Glass jug", "price": "19.50", "currency": "EUR",
            "initial_stock": [{"warehouse": "MAIN", "quantity": 10}],
        }  # fmt: skip
        product = self.post("products", 201, staff, json=jug)["id"]
        more = {"warehouse": "MAIN", "mode": "adjust", "quantity": 5, "reason": "received"}
        self.post(f"inventory/items/{product}/adjustments", 201, staff, json=more)

        self.post("users", 201, json={**BUYER, "name": "Anna"})
        buyer = self.post("auth/token", 200, json=BUYER)["access"]
        assert [each["sku"] for each in self.get("products")["results"]] == ["JUG"]
        assert self.get(f"inventory/check?product_id={product}&quantity=15")["available"] is True

        order = self._order(buyer, product, 3, key="once")
        assert self._order(buyer, product, 3, key="once", replayed=True) == order
        self.post(f"orders/{order}/confirm", 403, buyer, json={"payment_reference": "pay_1"})
        self.post(f"orders/{order}/confirm", 200, staff, json={"payment_reference": "pay_1"})
        three = {"items": [{"product_id": product, "quantity": 3}]}
        one = {"items": [{"product_id": product, "quantity": 1}]}
        assert self.post(f"orders/{order}/fulfill", 200, staff, json=three)["status"] == "fulfilled"
        assert self.post(f"orders/{order}/return", 200, staff, json=one)["items"][0]["returned"] == 1

        levels = {"file": ("levels.csv", b"sku,quantity\nJUG,40\n", "text/csv")}
        assert self.post("inventory/imports", 201, staff, files=levels)["status"] == "applied"

        second = self._order(buyer, product, 40, key="another")
        self.post("orders", 409, buyer, json=one)
        assert self.post(f"orders/{second}/cancel", 200, buyer)["status"] == "cancelled"
        assert self.get(f"inventory/check?product_id={product}&quantity=40")["available"] is True

    def _order(self, buyer: str, product: int, quantity: int, *, key: str, replayed: bool = False) -> str:
        lines = {"items": [{"product_id": product, "quantity": quantity}]}
        answer = self.ask("POST", "/api/v1/orders", 201, buyer, json=lines, headers={"Idempotency-Key": key})
        assert ("Idempotent-Replayed" in answer.headers) == replayed
        return str(answer.json()["id"])
