"""Clearer help texts. Only the state of the models changes: there is no SQL."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("users", "0005_paper_codes"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AlterField(
                    model_name="emailchange",
                    name="nonce",
                    field=models.UUIDField(help_text="Part of the token; new for each request."),
                ),
                migrations.AlterField(
                    model_name="emailchange",
                    name="token_stamp",
                    field=models.CharField(help_text="The user's stamp at the time of the request.", max_length=32),
                ),
                migrations.AlterField(
                    model_name="loginattempts",
                    name="key",
                    field=models.CharField(
                        help_text="A keyed hash of the account or network address.",
                        max_length=64,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                migrations.AlterField(
                    model_name="session",
                    name="continued_at",
                    field=models.DateTimeField(
                        help_text="When the token before it was used, by the database's clock.", null=True
                    ),
                ),
                migrations.AlterField(
                    model_name="session",
                    name="previous_id",
                    field=models.UUIDField(help_text="The `jti` of the token before it.", null=True),
                ),
                migrations.AlterField(
                    model_name="session",
                    name="token_stamp",
                    field=models.CharField(help_text="The user's stamp at login.", max_length=32),
                ),
            ],
        ),
    ]
