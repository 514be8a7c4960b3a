from django.contrib import admin

from inventory import models
from shop.toolkit.admin import ReadOnlyAdmin


@admin.register(models.Warehouse)
class WarehouseAdmin(ReadOnlyAdmin):
    list_display = ("code", "name", "priority", "is_active")


@admin.register(models.Reservation)
class ReservationAdmin(ReadOnlyAdmin):
    list_display = ("reference", "state", "created_at", "expires_at", "ended_at")
    list_filter = ("state",)
    search_fields = ("reference__exact",)
    ordering = ("-id",)
