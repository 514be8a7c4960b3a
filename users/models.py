from collections.abc import Iterator
from typing import ClassVar

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.crypto import salted_hmac

from shop.toolkit.ids import new_id
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


class User(AbstractBaseUser, PermissionsMixin):
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
        # With it the plain unique index holds whatever the case in which an address is written.
        constraints = (models.CheckConstraint(condition=Q(email=Lower("email")), name="users_email_is_lower_case"),)

    def __str__(self) -> str:
        return self.email

    @property
    def token_stamp(self) -> str:
        """What every token of the user carries: another one as soon as the password or the token version changes.

        Derived from the password's hash, so that it does not matter by which way the password was changed; and where
        staff need a second factor from now on, tokens that were given without one are no longer good.
        """
        factors = 2 if self.is_staff and settings.SECOND_FACTOR else 1
        parts = f"{self.pk}:{self.token_version}:{factors}:{self.password}"
        return salted_hmac("users.token_stamp", parts).hexdigest()[:32]

    def get_session_auth_hash(self) -> str:
        """What every session of the admin carries: it ends with the tokens."""
        return salted_hmac("users.session", self.token_stamp, algorithm="sha256").hexdigest()

    def get_session_auth_fallback_hash(self) -> Iterator[str]:
        """Return none: there are no former keys of sessions."""
        return iter(())


class LoginAttempts(models.Model):
    """Failed logins that stand against an account or an address, until `ends_at`."""

    key = models.CharField(primary_key=True, max_length=64, help_text="A keyed hash of whom they stand against.")
    count = models.PositiveIntegerField()
    ends_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.count} until {self.ends_at:%H:%M:%S}"


class PasswordReset(models.Model):
    """A user who wants a mail to set a new password by: it is due at `due_at`, after `tries` that failed."""

    user = models.OneToOneField(User, on_delete=models.CASCADE, primary_key=True, related_name="+")
    due_at = models.DateTimeField()
    tries = models.PositiveSmallIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.user_id} at {self.due_at:%Y-%m-%d %H:%M}"


class Session(models.Model):
    """One login: the family of refresh tokens that grew from it. Only the newest member is good."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    refresh_id = models.UUIDField(help_text="The `jti` of the one refresh token that may be used next.")
    token_stamp = models.CharField(max_length=32, help_text="The user's at login.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.user_id} since {self.created_at:%Y-%m-%d %H:%M}"
