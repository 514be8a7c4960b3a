from typing import Any

from rest_framework import serializers

from shop.toolkit.http.shapes import PageQuery, Shape, Text, Time
from users.emails import MAX_ADDRESS, canonical
from users.hashing import MAX_PASSWORD
from users.models import MAX_NAME

MAX_TOKEN = 4096


class Email(serializers.EmailField):
    """An email address as a JSON string."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=MAX_ADDRESS, **kwargs)

    def to_internal_value(self, data: object) -> str:
        return canonical(data) if isinstance(data, str) else self.fail("invalid")


class OtpCode(Text):
    """The code of a second factor."""

    def __init__(self) -> None:
        said = "Of the authenticator app, or from paper; staff need it where SECOND_FACTOR is on."
        super().__init__(max_length=16, required=False, help_text=said)


class CredentialsShape(Shape):
    # Of any length: one that is too long opens no account, and is answered as such.
    email = Text()
    password = Text(max_length=MAX_PASSWORD, trim_whitespace=False)

    otp_code = OtpCode()


class PasswordResetShape(Shape):
    email = Text()


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
    email = Email()
    password = Text(max_length=MAX_PASSWORD, trim_whitespace=False)
    name = Text(max_length=MAX_NAME, allow_blank=True, default="")


class EmailConfirmShape(Shape):
    token = Text(max_length=200)


class ProfileChangeShape(Shape):
    email = Email(required=False, help_text="Takes effect once the token that is mailed to it has confirmed it.")
    password = Text(max_length=MAX_PASSWORD, trim_whitespace=False, required=False)
    current_password = Text(
        max_length=MAX_PASSWORD,
        trim_whitespace=False,
        required=False,
        help_text="Required for a new email or password.",
    )
    otp_code = OtpCode()
    name = Text(max_length=MAX_NAME, allow_blank=True, required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs.keys() & {"email", "password"} and "current_password" not in attrs:
            said = "Send the current password to change the email or the password."
            raise serializers.ValidationError({"current_password": [said]}, code="required")
        return attrs


class UserShape(Shape):
    id = serializers.IntegerField()
    email = serializers.EmailField()
    name = serializers.CharField()
    is_staff = serializers.BooleanField()
    is_active = serializers.BooleanField()
    created_at = Time()


class UserListQuery(PageQuery):
    search = Text(required=False, max_length=100)
