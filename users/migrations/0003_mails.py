import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

KINDS = ("reset", "credentials_changed", "email_change", "email_change_asked", "email_taken")
# Mails that wait in the table of the release before; what that one still writes there, its own worker sends.
TAKE_OVER = """
INSERT INTO users_mail (user_id, kind, address, due_at, tries)
SELECT r.user_id, 'reset', u.email, r.due_at, r.tries FROM users_passwordreset r JOIN users_user u ON u.id = r.user_id;
"""
GIVE_BACK = """
INSERT INTO users_passwordreset (user_id, due_at, tries)
SELECT user_id, max(due_at), min(tries) FROM users_mail WHERE kind = 'reset' GROUP BY user_id
    ON CONFLICT (user_id) DO NOTHING;
"""


class Migration(migrations.Migration):
    """One table for all mails to owners of accounts, and the addresses that wait for their confirmation.

    The table `users_passwordreset` stays for the release before; a later release drops it.
    """

    dependencies = [("users", "0002_emails")]
    operations = [
        migrations.CreateModel(
            name="Mail",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("kind", models.CharField(choices=[(k, k.replace("_", " ").title()) for k in KINDS], max_length=20)),
                ("address", models.CharField(max_length=254)),
                ("due_at", models.DateTimeField()),
                ("tries", models.PositiveIntegerField(default=0)),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("user", "kind", "address"), name="users_mail_once"),
                    models.CheckConstraint(
                        condition=models.Q(("kind__in", list(KINDS))), name="users_mail_kind_is_known"
                    ),
                ]
            },
        ),
        migrations.CreateModel(
            name="EmailChange",
            fields=[
                (
                    "user",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("email", models.EmailField(max_length=254)),
                ("token_stamp", models.CharField(help_text="The user's when they asked.", max_length=32)),
                ("nonce", models.UUIDField(help_text="What the token carries: another for each wish.")),
            ],
        ),
        migrations.RunSQL(TAKE_OVER, GIVE_BACK),
        migrations.SeparateDatabaseAndState(state_operations=[migrations.DeleteModel(name="PasswordReset")]),
    ]
