"""The door of the staff's screens."""

from typing import Any

from django import forms
from django.conf import settings
from django.db import OperationalError
from unfold.forms import AuthenticationForm
from unfold.widgets import UnfoldAdminTextInputWidget

from shop.toolkit import transactions
from shop.toolkit.addresses import client_address
from users import services as users
from users.services._credentials import identify  # gives out a row, which must not leave this app


class LoginForm(AuthenticationForm):
    """Signs staff in as the API does: guesses are counted together, and the second factor is asked for here too."""

    retry_after: int | None = None  # in how many seconds one more login is looked at, once there were too many
    otp_code = forms.CharField(
        label="Code of your authenticator app",
        max_length=16,
        required=False,
        widget=UnfoldAdminTextInputWidget({"autocomplete": "one-time-code", "inputmode": "numeric"}),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not settings.SECOND_FACTOR:
            del self.fields["otp_code"]

    def clean(self) -> dict[str, Any]:
        given = self.cleaned_data
        if "username" not in given or "password" not in given:
            return given
        try:
            self.user_cache = identify(
                email=given["username"],
                password=given["password"],
                otp_code=given.get("otp_code", ""),
                address=client_address(self.request),
            )
        except OperationalError as error:
            if transactions.sqlstate(error) not in transactions.BUSY:
                raise
            raise forms.ValidationError("Too many sign in just now; try again.") from error
        except users.TooManyAttempts as refusal:
            self.retry_after = refusal.retry_after
            raise forms.ValidationError(str(refusal)) from refusal
        except users.InvalidCredentials as refusal:
            raise self.get_invalid_login_error() from refusal
        self.confirm_login_allowed(self.user_cache)
        return given
