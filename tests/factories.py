"""Plain functions that make things with defaults, through the same services as everybody else."""

import itertools
import json
from datetime import timedelta
from decimal import Decimal

from django.contrib.auth.models import Group
from django.test import Client
from django.utils import timezone

from inventory import services as inventory
from inventory.stock import ledger, warehouses
from orders import checkout, listing
from products import catalogue
from products import services as products
from shop.toolkit.callers import SYSTEM, User
from shop.toolkit.db import transactions
from shop.toolkit.ids import new_id
from tests import conformance
from users import accounts, sessions
from users import models as user_models
from users import services as users
from users.authentication import token_pair

PASSWORD = "correct horse battery staple"
_numbers = itertools.count(1)


def user(*, email: str = "", is_staff: bool = False, is_superuser: bool = False, group: str = "") -> accounts.User:
    row = user_models.User.objects.create_user(
        email or f"user{next(_numbers)}@example.com", PASSWORD, is_staff=is_staff, is_superuser=is_superuser
    )
    if group:
        row.groups.add(Group.objects.get(name=group))
    return users.get_user(row.pk, caller=SYSTEM)


def access_token(account: accounts.User) -> str:
    session = sessions.open_session(email=account.email, password=PASSWORD, address="127.0.0.1", now=timezone.now())
    return token_pair(session)["access"]


class JsonClient(Client):
    """Sends JSON, or no body at all, through the whole request stack."""

    def generic(self, method, path, data=b"", content_type="", **extra):
        extra = {"HTTP_X_REQUEST_ID": "tests", **extra}  # so that equal answers are equal
        response = super().generic(method, path, data, content_type if data else "", **extra)
        conformance.check(method, response)
        return response

    def post(self, path, data=None, content_type="application/json", **extra):
        body = b"" if data is None else data if isinstance(data, bytes) else json.dumps(data).encode()
        return self.generic("POST", path, body, content_type, **extra)

    def patch(self, path, data, content_type="application/json", **extra):
        return self.generic("PATCH", path, json.dumps(data).encode(), content_type, **extra)


def client(account: accounts.User | None) -> JsonClient:
    """A client with `account`'s token."""
    return JsonClient(headers={"authorization": f"Bearer {access_token(account)}"} if account else {})


def warehouse(code: str, *, priority: int = 100, is_active: bool = True) -> warehouses.Warehouse:
    return inventory.create_warehouse(
        code=code, name=code.title(), priority=priority, is_active=is_active, caller=SYSTEM
    )


def product(
    *, sku: str = "", price: str = "9.90", currency: str = "EUR", stock: dict[str, int] | int = 0
) -> catalogue.Product:
    levels = stock if isinstance(stock, dict) else {"MAIN": stock}
    number = next(_numbers)
    return transactions.run(
        lambda: products.create_product(
            sku=sku or f"SKU-{number}",
            name=f"Product {number}",
            description="",
            price=Decimal(price),
            currency=currency,
            initial_stock=[inventory.Level(code, quantity) for code, quantity in levels.items()],
            caller=SYSTEM,
        )
    )


def reservation(
    *demand: tuple[int, int], owner: str = "test", reference: str = "", minutes: int = 15
) -> inventory.Reservation:
    return transactions.run(
        lambda: inventory.reserve(
            reservation_id=new_id(),
            owner=owner,
            reference=reference or f"ref-{next(_numbers)}",
            demand=[inventory.Demand(product_id, quantity) for product_id, quantity in demand],
            ttl=timedelta(minutes=minutes),
            caller=SYSTEM,
        )
    )


def confirmer() -> JsonClient:
    """A client of the account by which a payment service confirms orders."""
    account = user(is_staff=True)
    user_models.User.objects.get(pk=account.id).groups.set(Group.objects.filter(name="Payments"))
    return client(account)


def order(account: accounts.User, *lines: tuple[int, int]) -> listing.Order:
    wishes = [checkout.Wish(product_id, quantity, None) for product_id, quantity in lines]
    return transactions.run(
        lambda: checkout.checkout(user_id=account.id, wishes=wishes, caller=User(account.id), now=timezone.now())
    )


def sell(product_id: int, units: int) -> None:
    transactions.run(lambda: ledger.sell(product_id=product_id, quantity=units, note="", reference="", caller=SYSTEM))
