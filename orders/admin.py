from django.contrib import admin

from orders import models
from shop.toolkit.admin import ReadOnlyAdmin


@admin.register(models.Order)
class OrderAdmin(ReadOnlyAdmin):
    list_display = ("number", "user", "status", "total", "currency", "created_at")
    list_filter = ("status",)
    list_select_related = ("user",)
    search_fields = ("number__exact", "user__email")
    ordering = ("-id",)
