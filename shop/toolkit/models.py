from django.db import models


class IdempotencyKey(models.Model):
    """A request that was answered, so that its twin gets the same answer. Written in the transaction of the work."""

    pk = models.CompositePrimaryKey("user_id", "endpoint", "key")
    user_id = models.BigIntegerField(help_text="0 for a caller without a token.")
    endpoint = models.CharField(max_length=200, help_text="Method and path.")
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64, help_text="SHA-256 of the body.")
    status = models.PositiveSmallIntegerField(null=True, help_text="Null while the work is being done.")
    body = models.BinaryField(null=True)
    content_type = models.CharField(max_length=100, blank=True)
    created_at = models.DateTimeField()

    class Meta:
        indexes = (models.Index(fields=["created_at"], name="toolkit_idempotency_key_age"),)

    def __str__(self) -> str:
        return f"{self.endpoint} {self.key}"
