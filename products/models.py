from django.db import models
from django.db.models import F, Func, Q, TextField
from django.utils import timezone

from shop.toolkit.money import DECIMAL_PLACES, MAX_DIGITS
from shop.toolkit.skus import MAX_KEY, MAX_SKU, NOT_CLEAN

MAX_NAME, MAX_DESCRIPTION = 200, 10_000


# The text that is searched. It must equal the expression of the trigram index products_by_words, which a migration
# creates by SQL: Django can do so only with all of django.contrib.postgres installed.
SEARCHED = Func(
    "sku", "name", "description", template="upper(%(expressions)s)", arg_joiner=" || ' ' || ", output_field=TextField()
)


class Product(models.Model):
    """A product. Archived ones (not active) stay for the orders that name them."""

    id = models.BigAutoField(primary_key=True)
    sku = models.CharField(max_length=MAX_SKU, unique=True)
    sku_key = models.CharField(
        max_length=MAX_KEY, db_default="", editable=False, help_text="The SKU in a form that ignores case."
    )
    name = models.CharField(max_length=MAX_NAME)
    description = models.TextField(max_length=MAX_DESCRIPTION, blank=True)
    price = models.DecimalField(max_digits=MAX_DIGITS, decimal_places=DECIMAL_PLACES)
    currency = models.CharField(max_length=3)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = (
            models.CheckConstraint(condition=~Q(sku=""), name="products_sku_not_empty"),
            models.CheckConstraint(condition=~Q(sku__regex=NOT_CLEAN), name="products_sku_is_clean"),
            models.UniqueConstraint(F("sku_key"), name="products_by_sku_key"),
            models.CheckConstraint(condition=~Q(sku_key=""), name="products_has_sku_key"),
            models.CheckConstraint(condition=~Q(name=""), name="products_name_not_empty"),
            models.CheckConstraint(condition=Q(price__gte=0), name="products_price_not_negative"),
            models.CheckConstraint(condition=Q(currency__regex="^[A-Z]{3}$"), name="products_currency_is_a_code"),
        )
        indexes = (
            models.Index(fields=["name", "id"], name="products_by_name"),
            models.Index(fields=["price", "id"], name="products_by_price"),
            models.Index(fields=["created_at", "id"], name="products_by_age"),
        )

    def __str__(self) -> str:
        return f"{self.sku} {self.name}"
