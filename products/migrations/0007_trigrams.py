"""Trigrams of words, by which a search has an index. The extension is trusted: it takes no superuser."""

from django.contrib.postgres.operations import TrigramExtension
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("products", "0006_validate_skus")]

    operations = [TrigramExtension()]
