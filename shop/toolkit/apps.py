from django.apps import AppConfig


class ToolkitConfig(AppConfig):
    """An app for its one table, the idempotency keys."""

    name = "shop.toolkit"
