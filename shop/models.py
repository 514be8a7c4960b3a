"""What the composition root itself remembers."""

from django.db import models


class Verdict(models.Model):
    """What `verify_stock` found, of the snapshot that it took at `taken_at`."""

    taken_at = models.DateTimeField()
    checked = models.PositiveIntegerField(help_text="How many invariants were checked.")
    broken = models.JSONField(help_text="The names of those that did not hold.")

    class Meta:
        indexes = (models.Index(fields=["-taken_at"], name="shop_verdict_newest"),)

    def __str__(self) -> str:
        return f"{self.taken_at:%Y-%m-%d %H:%M}: {len(self.broken)} of {self.checked} broken"
