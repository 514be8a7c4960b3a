from django.apps import AppConfig


class ShopConfig(AppConfig):
    """The composition root; an app only for its commands."""

    name = "shop"
