"""Sending files of stock over the API."""

from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import HttpResponse
from django.test import Client

URL = "/api/v1/inventory/imports"
TEXT = "sku,quantity\nMUG,5\n"


def upload(
    client: Client, content: str | bytes = TEXT, *, name: str = "levels.csv", headers: dict | None = None, **fields: str
) -> HttpResponse:
    """Send a form with a file, as browsers and HTTP libraries do."""
    data = content.encode() if isinstance(content, str) else content
    return form_of(client).post(URL, {"file": SimpleUploadedFile(name, data), **fields}, headers=headers)


def form_of(client: Client) -> Client:
    """Return a client with the same token that sends forms."""
    same = Client()
    same.defaults = client.defaults
    return same
