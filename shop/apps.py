from django.apps import AppConfig
from django.contrib.admin import apps


class ShopConfig(AppConfig):
    """The composition root: commands, the verdict on the books, the groups of staff."""

    name = "shop"
    default = True


class AdminConfig(apps.AdminConfig):
    """Django's admin, on our site."""

    default = False
    default_site = "shop.site.StaffSite"
