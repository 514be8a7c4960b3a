"""The second factor of staff: an authenticator app, and recovery codes for when it is lost."""

from django.db import transaction
from django_otp.plugins.otp_totp.models import TOTPDevice

from users import models
from users.accounts import UserNotFound, end_all_sessions
from users.codes import digest_of, random_code
from users.emails import lookup_spelling

RECOVERY_CODES = 10


@transaction.atomic(savepoint=False)
def renew_second_factor(email: str) -> tuple[str, list[str]]:
    """Give an account a new second factor, remove the old one, and end its sessions.

    Returns the `otpauth://` URL for an authenticator app, and the recovery codes, each valid once. Raises UserNotFound.
    """
    user = models.User.objects.filter(email=lookup_spelling(email)).first()
    if user is None:
        raise UserNotFound(email)
    end_all_sessions(user.pk)
    for devices in (TOTPDevice.objects, models.PaperDevice.objects):
        devices.filter(user=user).delete()
    app = TOTPDevice.objects.create(user=user, name="app")
    paper = models.PaperDevice.objects.create(user=user, name="paper")
    codes = [random_code() for _ in range(RECOVERY_CODES)]
    models.PaperCode.objects.bulk_create(
        models.PaperCode(device=paper, digest=digest_of(paper.pk, code)) for code in codes
    )
    return app.config_url, codes
