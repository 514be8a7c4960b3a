from django.contrib import admin

from products import models
from shop.toolkit.staff.admin import ReadOnlyAdmin


@admin.register(models.Product)
class ProductAdmin(ReadOnlyAdmin):
    list_display = ("sku", "name", "price", "currency", "is_active")
    list_filter = ("is_active",)
    search_fields = ("sku", "name")
    ordering = ("id",)
