"""Looked at the stock rows; 0017 does it now."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("inventory", "0006_unavailable_is_on_hand")]

    operations = []
