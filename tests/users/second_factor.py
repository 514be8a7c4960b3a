"""The codes of a staff member's authenticator app."""

from io import StringIO

from django.core.management import call_command
from django_otp.oath import TOTP
from django_otp.plugins.otp_totp.models import TOTPDevice


def enrolled(email: str) -> tuple[str, list[str]]:
    """Return the code that their app shows now, and those on paper."""
    said = StringIO()
    call_command("second_factor", email, stdout=said)
    lines = said.getvalue().splitlines()
    assert any(line.startswith("otpauth://totp/Shop") for line in lines)
    return code_of(email), [line.strip() for line in lines if line.startswith("  ") and line.strip().isalnum()]


def code_of(email: str) -> str:
    device = TOTPDevice.objects.get(user__email=email)
    return f"{TOTP(device.bin_key).token():06}"
