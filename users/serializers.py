from rest_framework import serializers

from shop.toolkit.shapes import PageQuery, Shape, Text, Time
from users.models import MAX_NAME, normalized_email

MAX_PASSWORD = 128  # hashing costs by length, so there is an end to it
MAX_TOKEN = 4096


class Email(serializers.EmailField):
    """An email address as a JSON string."""

    default_error_messages = {"not_ascii": "Before the @, only ASCII is taken; and the domain must be one."}

    def to_internal_value(self, data: object) -> str:
        address = normalized_email(data) if isinstance(data, str) else ""
        # Beyond ASCII, what is lower case and what looks alike depends on whom one asks.
        if not address.isascii():
            self.fail("not_ascii")
        return super().to_internal_value(address)


class CredentialsShape(Shape):
    email = Text(max_length=254)
    password = Text(max_length=MAX_PASSWORD, trim_whitespace=False)

    otp_code = Text(
        max_length=16,
        required=False,
        help_text="Of the authenticator app, or from paper; staff need it where SECOND_FACTOR is on.",
    )


class PasswordResetShape(Shape):
    email = Text(max_length=254)


class AcceptedShape(Shape):
    detail = serializers.CharField()


class NewPasswordShape(Shape):
    token = Text(max_length=200)
    password = Text(max_length=MAX_PASSWORD, trim_whitespace=False)


class RefreshShape(Shape):
    refresh = Text(max_length=MAX_TOKEN)


class TokenPairShape(Shape):
    access = serializers.CharField()
    refresh = serializers.CharField()


class RegistrationShape(Shape):
    email = Email(max_length=254)
    password = Text(max_length=MAX_PASSWORD, trim_whitespace=False)
    name = Text(max_length=MAX_NAME, allow_blank=True, default="")


class ProfileChangeShape(Shape):
    email = Email(max_length=254, required=False)
    password = Text(max_length=MAX_PASSWORD, trim_whitespace=False, required=False)
    name = Text(max_length=MAX_NAME, allow_blank=True, required=False)


class UserShape(Shape):
    id = serializers.IntegerField()
    email = serializers.EmailField()
    name = serializers.CharField()
    is_staff = serializers.BooleanField()
    is_active = serializers.BooleanField()
    created_at = Time()


class UserListQuery(PageQuery):
    search = Text(required=False, max_length=100)
