"""A day's real trade over HTTP: 1,781 stock codes, 367 invoices of a British gift shop (UCI Online Retail).

The rules by which the file's oddities are met:

- Every stock code is a product, whatever the case of its letters: `85123A` and `85123a` are one.
- A code that does not begin with five digits (POST, D, M, DOT, C2, BANK CHARGES) is a charge, no goods: its product has
  no stock and is archived at once, and its lines are left out. The shop would refuse them as not on sale.
- A product costs what its first line with a price says; later lines at another price are sold at the shop's price.
- A product is named as its first line with a description says, or else by its code.
- A line without a price is no sale but somebody's note about stock: left out, whatever its sign.
- The same product twice in an invoice stays two lines, and is one demand on stock.
- An invoice without a customer is the walk-in customer's. One without a line left is no order.
- A cancellation (C...) matches the earliest earlier order of the same customer that has all of its units. The shop
  cancels whole orders, so that order is cancelled and placed again without them. One that matches none is about trade
  from before the file: left out.
"""

import csv
import re
from collections import Counter
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from benchmarks import production_server
from shop.toolkit.skus import sku_key
from tests import factories
from tests.conftest import counted_statements, environment, fetch

FILE = Path(__file__).resolve().parents[2] / "shared" / "data" / "online-retail-7k.csv"
WALK_IN = "walk-in"

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not FILE.exists(), reason=f"the real data is not at {FILE}"),
    pytest.mark.argon2,
]


def read_file() -> list[dict]:
    with FILE.open(encoding="utf-8-sig", newline="") as file:
        return [
            {
                "invoice": row["InvoiceNo"],
                "code": sku_key(row["StockCode"]),
                "name": row["Description"].strip(),
                "quantity": int(row["Quantity"]),
                "price": Decimal(row["UnitPrice"].replace(",", ".")),
                "customer": row["CustomerID"] or WALK_IN,
            }
            for row in csv.DictReader(file, delimiter=";")
        ]


def is_goods(code: str) -> bool:
    return re.match(r"[0-9]{5}", code) is not None


def is_sale(row: dict) -> bool:
    return is_goods(row["code"]) and row["price"] > 0 and row["quantity"] > 0 and not row["invoice"].startswith("C")


def by_invoice(rows: list[dict]) -> dict[str, list[dict]]:
    invoices: dict[str, list[dict]] = {}
    for row in rows:
        invoices.setdefault(row["invoice"], []).append(row)
    return invoices


class Shop:
    """The shop's API, as its staff and their scripts use it."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http
        self.staff = factories.user(is_staff=True, is_superuser=True)
        self.users: dict[str, int] = {}

    def log_in(self) -> None:
        credentials = {"email": self.staff.email, "password": factories.PASSWORD}
        self.http.headers["Authorization"] = f"Bearer {self.ok('POST', '/auth/token', credentials)['access']}"

    def ok(self, method: str, path: str, body: dict | None = None) -> dict:
        response = self.http.request(method, path, json=body)
        assert response.is_success, (method, path, body, response.text)
        return response.json() if response.content else {}

    def user_of(self, customer: str) -> int:
        if customer not in self.users:
            body = {"email": f"customer-{customer}@example.com", "password": factories.PASSWORD}
            self.users[customer] = self.ok("POST", "/users", body)["id"]
        return self.users[customer]

    def order(self, customer: str, items: list[dict]) -> str:
        order = self.ok("POST", "/orders", {"items": items, "user_id": self.user_of(customer)})
        assert len(order["items"]) == len(items)
        self.ok("POST", f"/orders/{order['id']}/confirm", {"payment_reference": customer})
        return order["id"]


def create_products(shop: Shop, rows: list[dict]) -> dict[str, int]:
    sold = Counter()
    for row in filter(is_sale, rows):
        sold[row["code"]] += row["quantity"]
    ids = {}
    by_code: dict[str, list[dict]] = {}
    for row in rows:
        by_code.setdefault(row["code"], []).append(row)
    for code, own in by_code.items():
        price = next((row["price"] for row in own if row["price"] > 0), Decimal(0))
        body = {
            "sku": code,
            "name": next((row["name"] for row in own if row["name"]), code),
            "price": str(price),
            "currency": "GBP",
            "initial_stock": [{"warehouse": "MAIN", "quantity": sold[code]}] if sold[code] else [],
        }
        ids[code] = shop.ok("POST", "/products", body)["id"]
        if not is_goods(code):
            shop.ok("DELETE", f"/products/{ids[code]}")
    return ids


def test_the_books_of_a_real_day_add_up_to_the_unit(database):
    rows = read_file()
    invoices = by_invoice(rows)
    assert (len(rows), len(invoices)) == (7000, 367)
    # It sells to wholesalers, whose orders have thousands of units.
    wholesale = production_server(
        DATABASE_URL=environment()["DATABASE_URL"], MAX_HELD_UNITS_PER_USER="off", THROTTLE_REGISTER="off"
    )
    with wholesale as server, httpx.Client(base_url=f"{server}/api/v1", timeout=30) as http:
        placed, cancelled, ids = replay(Shop(http), rows, invoices)

    # Against sums taken from the file alone.
    sold = Counter()
    for row in filter(is_sale, rows):
        sold[ids[row["code"]]] += row["quantity"]
    assert len(ids) == 1781
    assert len(placed) == 317
    assert max(len(order["items"]) for order in placed.values()) == sum(map(is_sale, invoices["536876"])) == 592
    assert len(cancelled) == 4

    stock = {
        product_id: rest
        for product_id, *rest in fetch("SELECT product_id, on_hand, reserved, committed FROM inventory_stock")
    }
    assert stock == {
        product_id: [quantity, 0, quantity - cancelled[product_id]] for product_id, quantity in sold.items()
    }
    assert_ledger_adds_up()
    assert_orders_add_up(sold - cancelled)


def replay(
    shop: Shop, rows: list[dict], invoices: dict[str, list[dict]]
) -> tuple[dict[str, dict], Counter, dict[str, int]]:
    """Run the day; return the orders by invoice, the units cancelled by product id, and the product id of each code."""
    shop.log_in()
    ids = create_products(shop, rows)
    assert shop.http.get(f"/products/{ids[sku_key('POST')]}").json()["is_active"] is False

    placed: dict[str, dict] = {}
    cancelled: Counter = Counter()
    for index, (number, lines) in enumerate(invoices.items()):
        if index % 100 == 0:
            shop.log_in()  # an access token is good for five minutes
        if number.startswith("C"):
            cancelled += cancel(shop, lines, placed, ids)
            continue
        items = [{"product_id": ids[row["code"]], "quantity": row["quantity"]} for row in lines if is_sale(row)]
        if items:
            customer = lines[0]["customer"]
            placed[number] = {"id": shop.order(customer, items), "customer": customer, "items": items}
    return placed, cancelled, ids


def cancel(shop: Shop, lines: list[dict], placed: dict[str, dict], ids: dict[str, int]) -> Counter:
    """Cancel what a cancellation matches; return the units by product."""
    units: Counter = Counter()
    for row in lines:
        if is_goods(row["code"]):
            units[ids[row["code"]]] -= row["quantity"]
    for order in placed.values():
        has = Counter()
        for item in order["items"]:
            has[item["product_id"]] += item["quantity"]
        if units and order["customer"] == lines[0]["customer"] != WALK_IN and units <= has:
            shop.ok("POST", f"/orders/{order['id']}/cancel")
            order["items"] = without(order["items"], units)
            if order["items"]:
                order["id"] = shop.order(order["customer"], order["items"])
            return units
    return Counter()


def without(items: list[dict], units: Counter) -> list[dict]:
    left = units.copy()
    kept = []
    for item in items:
        taken = min(left[item["product_id"]], item["quantity"])
        left[item["product_id"]] -= taken
        if item["quantity"] > taken:
            kept.append({**item, "quantity": item["quantity"] - taken})
    return kept


def assert_ledger_adds_up() -> None:
    """Each stock row is the sum of its movements and equal to the newest of them, and no seq is missing."""
    assert (
        fetch("""
        SELECT s.product_id FROM inventory_stock s LEFT JOIN (
            SELECT product_id, warehouse_id, count(*) AS n, max(seq) AS seq, sum(on_hand_delta) AS on_hand,
                   sum(reserved_delta) AS reserved, sum(committed_delta) AS committed
              FROM inventory_movement GROUP BY product_id, warehouse_id
        ) m USING (product_id, warehouse_id)
        WHERE (s.on_hand, s.reserved, s.committed, s.seq, m.n) IS DISTINCT FROM
              (m.on_hand, m.reserved, m.committed, m.seq, m.seq)
    """)
        == []
    )


def assert_orders_add_up(expected: Counter) -> None:
    """Confirmed lines, open reservation lines and the file say the same, product by product."""
    ordered = fetch("""
        SELECT l.product_id, sum(l.quantity) FROM orders_orderline l JOIN orders_order o ON o.id = l.order_id
         WHERE o.status = 'confirmed' GROUP BY l.product_id
    """)
    reserved = fetch("""
        SELECT l.product_id, sum(l.open) FROM inventory_reservationline l
          JOIN inventory_reservation r ON r.id = l.reservation_id
         WHERE r.state = 'confirmed' GROUP BY l.product_id
    """)
    assert dict(ordered) == dict(reserved) == dict(expected)
    assert fetch("SELECT count(*) FROM orders_order WHERE total <> (SELECT sum(total_price) FROM orders_orderline "
                 "WHERE order_id = orders_order.id)") == [(0,)]  # fmt: skip


def test_the_largest_invoice_goes_through_as_one_order(settings, customer):
    settings.MAX_HELD_UNITS_PER_USER = None
    rows = [row for row in read_file() if row["invoice"] == "536876"]
    assert len(rows) == 593
    units = Counter()
    for row in rows:
        units[row["code"]] += row["quantity"]
    products = {
        code: factories.product(sku=code, price=str(row["price"]), stock=units[code])
        for code, row in {row["code"]: row for row in rows}.items()
    }
    items = [{"product_id": products[row["code"]].id, "quantity": row["quantity"]} for row in rows]
    other = factories.product(stock=1)

    with counted_statements() as one:
        customer.post("/api/v1/orders", {"items": [{"product_id": other.id, "quantity": 1}]})
    with counted_statements() as all_of_it:
        order = customer.post("/api/v1/orders", {"items": items}).json()

    assert len(one) == len(all_of_it) == 7
    assert [(line["sku"], line["quantity"]) for line in order["items"]] == [
        (row["code"], row["quantity"]) for row in rows
    ]
    assert len(products) < len(rows)
    assert fetch("SELECT sum(on_hand - reserved) FROM inventory_stock") == [(0,)]
