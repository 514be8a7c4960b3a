from django.contrib import admin

from shop.toolkit.admin import ReadOnlyAdmin
from users import models


@admin.register(models.User)
class UserAdmin(ReadOnlyAdmin):
    list_display = ("email", "name", "is_staff", "is_active", "created_at")
    list_filter = ("is_staff", "is_active")
    search_fields = ("email", "name")
    exclude = ("password",)
    ordering = ("id",)
