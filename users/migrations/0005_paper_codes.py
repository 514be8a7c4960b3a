import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from users.codes import digest_of

DEVICES = """
INSERT INTO users_paperdevice (id, user_id, name, confirmed, throttling_failure_timestamp, throttling_failure_count,
                               created_at, last_used_at)
SELECT id, user_id, name, confirmed, throttling_failure_timestamp, throttling_failure_count, created_at, last_used_at
  FROM otp_static_staticdevice
"""
NEXT_ID = """
SELECT setval(pg_get_serial_sequence('users_paperdevice', 'id'), max(id)) FROM users_paperdevice HAVING count(*) > 0
"""


def hash_codes(apps, schema_editor):
    """Take over the codes that django-otp kept as they are, and leave nothing of them in its tables."""
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('otp_static_statictoken') IS NOT NULL")
        if not cursor.fetchone()[0]:
            return  # a new database has no such tables
        cursor.execute(DEVICES)
        cursor.execute(NEXT_ID)
        cursor.execute("SELECT device_id, token FROM otp_static_statictoken")
        codes = {(device_id, digest_of(device_id, token)) for device_id, token in cursor.fetchall()}
        cursor.executemany("INSERT INTO users_papercode (device_id, digest) VALUES (%s, %s)", sorted(codes))
        cursor.execute("DELETE FROM otp_static_statictoken")
        cursor.execute("DELETE FROM otp_static_staticdevice")


class Migration(migrations.Migration):
    """Codes on paper are kept as hashes. django-otp's own tables stay, empty, for the release before."""

    dependencies = [("users", "0004_refresh_twice")]
    operations = [
        migrations.CreateModel(
            name="PaperDevice",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(help_text="The human-readable name of this device.", max_length=64)),
                ("confirmed", models.BooleanField(default=True, help_text="Is this device ready for use?")),
                (
                    "throttling_failure_timestamp",
                    models.DateTimeField(
                        blank=True,
                        default=None,
                        help_text=(
                            "A timestamp of the last failed verification attempt. Null if last attempt succeeded."
                        ),
                        null=True,
                    ),
                ),
                (
                    "throttling_failure_count",
                    models.PositiveIntegerField(default=0, help_text="Number of successive failed attempts."),
                ),
                (
                    "created_at",
                    models.DateTimeField(
                        auto_now_add=True,
                        help_text="The date and time when this device was initially created in the system.",
                        null=True,
                    ),
                ),
                (
                    "last_used_at",
                    models.DateTimeField(
                        blank=True, help_text="The most recent date and time this device was used.", null=True
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        help_text="The user that this device belongs to.",
                        on_delete=django.db.models.deletion.CASCADE,
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={"abstract": False},
        ),
        migrations.CreateModel(
            name="PaperCode",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("digest", models.CharField(max_length=64)),
                (
                    "device",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="users.paperdevice"
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("device", "digest"), name="users_paper_code_once"),
                ]
            },
        ),
        migrations.RunPython(hash_codes, migrations.RunPython.noop),
    ]
