"""`permissions.txt`, and how each of its routes is called."""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import UUID

from django.contrib.auth.models import Group
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from inventory import services as inventory
from orders import lifecycle
from products import services as products
from shop.toolkit.callers import SYSTEM, System
from shop.toolkit.db import transactions
from tests import factories
from tests.inventory.imports import loaded
from tests.users.reset_mails import NEW
from users import accounts, changes, resets
from users import models as user_models
from users import services as users

MATRIX = Path(__file__).with_name("permissions.txt")
GROUPS = {
    "viewer": "Inventory viewer",
    "clerk": "Inventory clerk",
    "manager": "Inventory manager",
    "catalogue": "Catalogue manager",
    "desk": "Order desk",
    "payments": "Payments",
}


STOCKED = {"initial_stock": [{"warehouse": "MAIN", "quantity": 1}]}
ABSENT_ID, ABSENT_UUID = 999_999, UUID("00000000-0000-7000-8000-000000000000")


def read_matrix() -> tuple[list[str], list[tuple[str, str, str, list[str]]]]:
    """Return the roles, and the rows: method, route, whose row it is about, an answer for each role."""
    lines = [line.split() for line in MATRIX.read_text().splitlines() if line.strip() and not line.startswith("#")]
    (_, _, _, *roles), *rows = lines
    return roles, [(method, route, whose, cells) for method, route, whose, *cells in rows]


ROLES, ROWS = read_matrix()


class World:
    """A shop with a row of each kind, made when a call is about it, and somebody who calls."""

    def __init__(self, role: str) -> None:
        self.role = role
        self.caller = self._caller()

    @cached_property
    def other(self) -> accounts.User:
        return factories.user()

    @cached_property
    def product(self) -> products.Product:
        return factories.product(stock=20)

    def _caller(self) -> accounts.User | None:
        if self.role == "anonymous":
            return None
        account = factories.user(is_staff=self.role != "customer", is_superuser=self.role == "admin")
        groups = Group.objects.filter(name=GROUPS.get(self.role, ""))
        user_models.User.objects.get(pk=account.id).groups.set(groups)
        return account

    def order(self, whose: str, status: str = "pending") -> UUID:
        """Return an order of the caller or of somebody else, or the id of none."""
        if whose == "absent":
            return ABSENT_UUID
        buyer = self.caller if whose == "own" and self.caller else self.other
        made = factories.order(buyer, (self.product.id, 2))
        step = {"caller": System(buyer.id), "now": timezone.now()}
        if status in ("confirmed", "fulfilled"):
            transactions.run(lambda: lifecycle.confirm_order(made.id, payment_reference="", **step))
        if status == "fulfilled":
            transactions.run(
                lambda: lifecycle.fulfill_order(made.id, items=None, caller=System(buyer.id), now=timezone.now())
            )
        return made.id

    def user_id(self, whose: str) -> int:
        if whose == "absent":
            return ABSENT_ID
        return self.caller.id if whose == "own" and self.caller else self.other.id

    def product_id(self, whose: str) -> int:
        if whose == "archived":
            archived = factories.product(stock=1)
            transactions.run(lambda: products.archive_product(archived.id))
            return archived.id
        return ABSENT_ID if whose == "absent" else self.product.id

    def hold(self, whose: str) -> UUID:
        if whose == "absent":
            return ABSENT_UUID
        return factories.reservation((self.product.id, 1), owner="api").id

    def promise(self, whose: str) -> UUID:
        held = self.hold(whose)
        if whose != "absent":
            transactions.run(lambda: inventory.confirm(held, owner="api", caller=SYSTEM))
        return held

    def import_id(self, whose: str) -> UUID:
        return ABSENT_UUID if whose == "absent" else self._loaded()

    def _loaded(self) -> UUID:
        return loaded(f"sku,quantity\n{self.product.sku},30\nNONE,1\n", on_error="skip", again=True).id

    def file(self) -> SimpleUploadedFile:
        return SimpleUploadedFile("l.csv", f"sku,quantity\n{self.product.sku},7\n".encode())

    def warehouse(self, whose: str) -> str:
        return "NONE" if whose == "absent" else factories.warehouse(f"PLACE-{self.role}").code

    def refresh(self) -> str:
        login = {"email": self.other.email, "password": factories.PASSWORD}
        return Client().post("/api/v1/auth/token", login, content_type="application/json").json()["refresh"]

    def reset_token(self) -> str:
        transactions.run(lambda: resets.want_password_reset(email=self.other.email))
        mails = iter(lambda: transactions.run(lambda: users.take_mail(now=timezone.now())), None)
        return next(mail.token for mail in mails if mail.address == self.other.email)

    def change_token(self) -> str:
        proof = {"current_password": factories.PASSWORD, "address": "127.0.0.1"}
        approval = changes.approve_change(self.other.id, email=f"{self.role}@example.org", **proof)
        transactions.run(lambda: changes.update_profile(self.other.id, approval=approval))
        mails = iter(lambda: transactions.run(lambda: users.take_mail(now=timezone.now())), None)
        return next(mail.token for mail in mails if mail.address == f"{self.role}@example.org")


V1 = "/api/v1"
ITEMS, HOLDS, IMPORTS = (f"{V1}/inventory/{name}" for name in ("items", "reservations", "imports"))
Request = tuple[str, Any]
ADJUSTMENT = {"warehouse": "MAIN", "mode": "adjust", "quantity": 1, "reason": "found"}


def line(world: World, **more: Any) -> list[dict[str, Any]]:
    return [{"product_id": world.product.id, "quantity": 1, **more}]


def placed(world: World, whose: str) -> dict[str, Any]:
    return {"user_id": world.user_id(whose), "items": line(world, unit_price="9.90", total_price="9.90")}


# How each route is called about a row of that kind: its path, and a body that is right.
CALLS: dict[str, Callable[[World, str], Request]] = {
    "POST /auth/token": lambda w, whose: (f"{V1}/auth/token", {"email": w.other.email, "password": factories.PASSWORD}),
    "POST /auth/token/refresh": lambda w, whose: (f"{V1}/auth/token/refresh", {"refresh": w.refresh()}),
    "POST /auth/logout": lambda w, whose: (f"{V1}/auth/logout", {"refresh": w.refresh()}),
    "POST /auth/password-reset": lambda w, whose: (f"{V1}/auth/password-reset", {"email": w.other.email}),
    "POST /auth/password-reset/confirm": lambda w, whose: (
        f"{V1}/auth/password-reset/confirm", {"token": w.reset_token(), "password": NEW}
    ),
    "POST /auth/email-change/confirm": lambda w, whose: (
        f"{V1}/auth/email-change/confirm", {"token": w.change_token()}
    ),
    "GET /users": lambda w, whose: (f"{V1}/users", None),
    "POST /users": lambda w, whose: (f"{V1}/users", {"email": f"{w.role}@example.net", "password": NEW, "name": "New"}),
    "GET /users/me": lambda w, whose: (f"{V1}/users/me", None),
    "PATCH /users/me": lambda w, whose: (f"{V1}/users/me", {"name": "Else"}),
    "GET /users/<user_id>": lambda w, whose: (f"{V1}/users/{w.user_id(whose)}", None),
    "GET /products": lambda w, whose: (f"{V1}/products", None),
    "POST /products": lambda w, whose: (
        f"{V1}/products",
        {"sku": f"NEW-{w.role}", "name": "New", "price": "1.00", **(STOCKED if whose == "stock" else {})},
    ),
    "GET /products/<product_id>": lambda w, whose: (f"{V1}/products/{w.product_id(whose)}", None),
    "PATCH /products/<product_id>": lambda w, whose: (f"{V1}/products/{w.product_id(whose)}", {"name": "Else"}),
    "DELETE /products/<product_id>": lambda w, whose: (f"{V1}/products/{w.product_id(whose)}", None),
    "GET /inventory/check": lambda w, whose: (f"{V1}/inventory/check?product_id={w.product_id(whose)}", None),
    "POST /inventory/check": lambda w, whose: (
        f"{V1}/inventory/check", {"items": [{"product_id": w.product_id(whose)}]}
    ),
    "GET /inventory/items": lambda w, whose: (ITEMS, None),
    "GET /inventory/items/<product_id>": lambda w, whose: (f"{ITEMS}/{w.product_id(whose)}", None),
    "GET /inventory/items/<product_id>/explain": lambda w, whose: (f"{ITEMS}/{w.product_id(whose)}/explain", None),
    "GET /inventory/items/<product_id>/movements": lambda w, whose: (f"{ITEMS}/{w.product_id(whose)}/movements", None),
    "POST /inventory/items/<product_id>/adjustments": lambda w, whose: (
        f"{ITEMS}/{w.product_id(whose)}/adjustments", ADJUSTMENT
    ),
    "PATCH /inventory/items/<product_id>/stocks/<warehouse>": lambda w, whose: (
        f"{ITEMS}/{w.product_id(whose)}/stocks/MAIN", {"safety_stock": 1}
    ),
    "DELETE /inventory/items/<product_id>/stocks/<warehouse>": lambda w, whose: (
        f"{ITEMS}/{w.product_id(whose) if whose == 'absent' else factories.product(stock={}).id}/stocks/MAIN", None
    ),
    "POST /inventory/transfers": lambda w, whose: (
        f"{V1}/inventory/transfers",
        {"from_warehouse": "MAIN", "to_warehouse": w.warehouse(whose), "items": line(w)},
    ),
    "POST /inventory/allocations/preview": lambda w, whose: (f"{V1}/inventory/allocations/preview", {"items": line(w)}),
    "GET /inventory/reservations": lambda w, whose: (HOLDS, None),
    "POST /inventory/reservations": lambda w, whose: (HOLDS, {"reference": w.role, "items": line(w)}),
    "GET /inventory/reservations/<reservation_id>": lambda w, whose: (f"{HOLDS}/{w.hold(whose)}", None),
    "POST /inventory/reservations/<reservation_id>/confirm": lambda w, whose: (
        f"{HOLDS}/{w.hold(whose)}/confirm", None
    ),
    "POST /inventory/reservations/<reservation_id>/fulfill": lambda w, whose: (
        f"{HOLDS}/{w.promise(whose)}/fulfill", None
    ),
    "POST /inventory/reservations/<reservation_id>/release": lambda w, whose: (
        f"{HOLDS}/{w.hold(whose)}/release", None
    ),
    "POST /inventory/reservations/<reservation_id>/extend": lambda w, whose: (f"{HOLDS}/{w.hold(whose)}/extend", None),
    "GET /inventory/imports": lambda w, whose: (IMPORTS, None),
    "POST /inventory/imports": lambda w, whose: (IMPORTS, w.file()),
    "GET /inventory/imports/<import_id>": lambda w, whose: (f"{IMPORTS}/{w.import_id(whose)}", None),
    "GET /inventory/imports/<import_id>/errors": lambda w, whose: (f"{IMPORTS}/{w.import_id(whose)}/errors", None),
    "POST /inventory/imports/<import_id>/undo": lambda w, whose: (f"{IMPORTS}/{w.import_id(whose)}/undo", None),
    "GET /inventory/exports/stock.csv": lambda w, whose: (f"{V1}/inventory/exports/stock.csv", None),
    "GET /inventory/exports/stock.xlsx": lambda w, whose: (f"{V1}/inventory/exports/stock.xlsx", None),
    "GET /inventory/warehouses": lambda w, whose: (f"{V1}/inventory/warehouses", None),
    "POST /inventory/warehouses": lambda w, whose: (
        f"{V1}/inventory/warehouses", {"code": f"NEW-{w.role}", "name": "New"}
    ),
    "GET /inventory/warehouses/<code>": lambda w, whose: (f"{V1}/inventory/warehouses/{w.warehouse(whose)}", None),
    "PATCH /inventory/warehouses/<code>": lambda w, whose: (
        f"{V1}/inventory/warehouses/{w.warehouse(whose)}", {"name": "Else"}
    ),
    "DELETE /inventory/warehouses/<code>": lambda w, whose: (f"{V1}/inventory/warehouses/{w.warehouse(whose)}", None),
    "GET /orders": lambda w, whose: (f"{V1}/orders", None),
    "POST /orders": lambda w, whose: (
        f"{V1}/orders", {"items": line(w), **({} if whose == "own" else {"user_id": w.user_id(whose)})}
    ),
    "GET /orders/<order_id>": lambda w, whose: (f"{V1}/orders/{w.order(whose)}", None),
    "POST /orders/<order_id>/confirm": lambda w, whose: (f"{V1}/orders/{w.order(whose)}/confirm", {}),
    "POST /orders/<order_id>/cancel": lambda w, whose: (f"{V1}/orders/{w.order(whose)}/cancel", {}),
    "POST /orders/<order_id>/fulfill": lambda w, whose: (f"{V1}/orders/{w.order(whose, 'confirmed')}/fulfill", {}),
    "POST /orders/<order_id>/return": lambda w, whose: (
        f"{V1}/orders/{w.order(whose, 'fulfilled')}/return", {"items": line(w)}
    ),
    "GET /api/schema": lambda w, whose: ("/api/schema", None),
    "POST /check_stock": lambda w, whose: ("/check_stock", {"product_id": w.product_id(whose), "quantity": 1}),
    "POST /update_stock": lambda w, whose: ("/update_stock", {"product_id": w.product_id(whose), "quantity": 1}),
    "POST /create_order": lambda w, whose: ("/create_order", placed(w, whose)),
}  # fmt: skip


def send(world: World, method: str, route: str, whose: str) -> Any:
    return sent(world, method, *CALLS[f"{method} {route}"](world, whose))


def sent(world: World, method: str, path: str, body: Any, *, key: str = "") -> Any:
    client = factories.client(world.caller)
    if key:
        client.defaults["HTTP_IDEMPOTENCY_KEY"] = key
    if isinstance(body, SimpleUploadedFile):
        return Client.post(client, path, {"file": body})  # as a form
    return client.generic(method, path) if body is None else getattr(client, method.lower())(path, body)
