from collections.abc import Iterator
from typing import ClassVar

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django_otp.models import Device, ThrottlingMixin, TimestampMixin

from shop.toolkit.ids import new_id
from users.codes import digest_of
from users.emails import MAX_ADDRESS, canonical, lookup_spelling, validate

MAX_NAME = 150


class UserManager(BaseUserManager["User"]):
    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email=lookup_spelling(username or ""))

    # The names are Django's: `createsuperuser` calls the second.
    def create_user(self, email: str, password: str | None = None, **fields: object) -> "User":
        user = self.model(email=canonical(email), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: object) -> "User":
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)


class User(AbstractBaseUser, PermissionsMixin):  # type: ignore[django-manager-missing]  # django-otp has no types
    """A customer or a member of staff."""

    id = models.BigAutoField(primary_key=True)
    email = models.EmailField(max_length=MAX_ADDRESS, unique=True, validators=[validate])
    name = models.CharField(max_length=MAX_NAME, blank=True)
    is_staff = models.BooleanField(default=False, help_text="May use the admin and the staff endpoints.")
    is_active = models.BooleanField(default=True, help_text="Unset this instead of deleting an account.")
    # Raising it ends all tokens of the user at once.
    token_version = models.PositiveIntegerField(default=0, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = UserManager()

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        # With this, the plain unique index treats spellings in another case as equal.
        constraints = (models.CheckConstraint(condition=Q(email=Lower("email")), name="users_email_is_lower_case"),)

    def __str__(self) -> str:
        return self.email

    @property
    def token_stamp(self) -> str:
        """The stamp in every token of the user. A change of password or token version changes it, and so ends them.

        It is derived from the password's hash, so it does not matter how the password was changed. It also changes when
        SECOND_FACTOR is switched on for staff: tokens issued without a second factor are invalid then.
        """
        factors = 2 if self.is_staff and settings.SECOND_FACTOR else 1
        parts = f"{self.pk}:{self.token_version}:{factors}:{self.password}"
        return salted_hmac("users.token_stamp", parts).hexdigest()[:32]

    def get_session_auth_hash(self) -> str:
        """The hash in every admin session, which ends such sessions together with the tokens."""
        return salted_hmac("users.session", self.token_stamp, algorithm="sha256").hexdigest()

    def get_session_auth_fallback_hash(self) -> Iterator[str]:
        """Return nothing: sessions have no former keys."""
        return iter(())


class LoginAttempts(models.Model):
    """Attempts counted against an account or an address until `ends_at`."""

    key = models.CharField(primary_key=True, max_length=64, help_text="A keyed hash of the account or network address.")
    count = models.PositiveIntegerField()
    ends_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.count} until {self.ends_at:%H:%M:%S}"


class MailKind(models.TextChoices):
    """What a mail to the owner of an account is about."""

    RESET = "reset"
    CREDENTIALS_CHANGED = "credentials_changed"
    EMAIL_CHANGE = "email_change"
    EMAIL_CHANGE_ASKED = "email_change_asked"
    EMAIL_TAKEN = "email_taken"


class Mail(models.Model):
    """A mail to be sent at `due_at`, after `tries` earlier tries."""

    id = models.BigAutoField(primary_key=True)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    kind = models.CharField(max_length=20, choices=MailKind.choices)
    address = models.CharField(max_length=MAX_ADDRESS)
    due_at = models.DateTimeField()
    tries = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["user", "kind", "address"], name="users_mail_once"),
            models.CheckConstraint(condition=Q(kind__in=MailKind.values), name="users_mail_kind_is_known"),
        )

    def __str__(self) -> str:
        return f"{self.kind} to {self.address} at {self.due_at:%Y-%m-%d %H:%M}"


class EmailChange(models.Model):
    """An email that a user has requested, until they confirm it by the mail sent there."""

    user = models.OneToOneField(User, on_delete=models.CASCADE, primary_key=True, related_name="+")
    email = models.EmailField(max_length=MAX_ADDRESS)
    token_stamp = models.CharField(max_length=32, help_text="The user's stamp at the time of the request.")
    nonce = models.UUIDField(help_text="Part of the token; new for each request.")

    def __str__(self) -> str:
        return f"{self.user_id} to {self.email}"


class Session(models.Model):
    """One login and its successive refresh tokens.

    Only the newest token can be used; for a few seconds also the one before it, as long as the newest is unused.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    refresh_id = models.UUIDField(help_text="The `jti` of the one refresh token that may be used next.")
    previous_id = models.UUIDField(null=True, help_text="The `jti` of the token before it.")
    continued_at = models.DateTimeField(
        null=True, help_text="When the token before it was used, by the database's clock."
    )
    token_stamp = models.CharField(max_length=32, help_text="The user's stamp at login.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.user_id} since {self.created_at:%Y-%m-%d %H:%M}"


class PaperDevice(TimestampMixin, ThrottlingMixin, Device):  # type: ignore[misc]  # django-otp has no types
    """Recovery codes on paper: a second factor for when the authenticator app is lost. Each is valid once.

    django-otp's own device stores codes in plain text, and whoever reads a backup could sign in.
    """

    def get_throttle_factor(self) -> float:
        """Return the factor of the wait after wrong codes, the same as in django-otp's own devices."""
        return 1.0

    def verify_token(self, token: str) -> bool:
        """Tell whether a code is an unused one, and use it up. The caller has locked the device."""
        is_allowed, _ = self.verify_is_allowed()
        if not is_allowed:
            return False
        used, _ = PaperCode.objects.filter(device=self, digest=digest_of(self.pk, token)).delete()
        if not used:
            self.throttle_increment()
            return False
        self.throttle_reset(commit=False)
        self.set_last_used_timestamp(commit=False)
        self.save()
        return True


class PaperCode(models.Model):
    """One recovery code, as a keyed hash."""

    id = models.BigAutoField(primary_key=True)
    device = models.ForeignKey(PaperDevice, on_delete=models.CASCADE, related_name="+")
    digest = models.CharField(max_length=64)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["device", "digest"], name="users_paper_code_once"),)

    def __str__(self) -> str:
        return f"of {self.device_id}"
