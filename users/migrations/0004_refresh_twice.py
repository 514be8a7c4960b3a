from django.db import migrations, models


class Migration(migrations.Migration):
    """Which refresh token was used last, and when: for a moment it gives its successor again."""

    dependencies = [("users", "0003_mails")]
    operations = [
        migrations.AddField(
            model_name="session",
            name="previous_id",
            field=models.UUIDField(help_text="The `jti` of the token that it was given for.", null=True),
        ),
        migrations.AddField(
            model_name="session",
            name="continued_at",
            field=models.DateTimeField(help_text="When that was, by the database's clock.", null=True),
        ),
    ]
