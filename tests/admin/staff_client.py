"""A signed-in client for the staff's screens, and where some of them are."""

from django.contrib.auth.models import Group
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from shop.toolkit.callers import User
from shop.toolkit.staff import form_keys
from tests import factories
from users import models as user_models

GROUPS = ("Inventory viewer", "Inventory clerk", "Inventory manager", "Catalogue manager", "Order desk", "Payments")
ITEMS, IMPORTS = "/admin/inventory/item/", "/admin/inventory/stockimport/"


class StaffClient(Client):
    """Sends forms as a page does that was opened just now: each with a key of its own, unless one is given."""

    user_id: int

    def post(self, path, data=None, **extra):
        return super().post(path, {"form_key": form_keys.new_key(User(self.user_id)), **(data or {})}, **extra)


def signed_in(*groups: str, is_superuser: bool = False) -> StaffClient:
    account = factories.user(is_staff=True, is_superuser=is_superuser)
    row = user_models.User.objects.get(pk=account.id)
    row.groups.set(Group.objects.filter(name__in=groups))
    client = StaffClient()
    client.user_id = row.pk
    client.force_login(row)
    client.email = account.email
    return client


def upload(client: Client, text: str, **fields: str):
    file = SimpleUploadedFile("levels.csv", text.encode())
    return client.post(f"{IMPORTS}upload/", {"file": file, "mode": "set", **fields})
