"""The login form of the admin, and the form by which staff change their password."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django import forms
from django.conf import settings
from django.core.validators import MaxLengthValidator
from django.db import OperationalError
from unfold.forms import AdminOwnPasswordChangeForm, AuthenticationForm
from unfold.widgets import UnfoldAdminTextInputWidget

from shop.toolkit.db import transactions
from shop.toolkit.http.addresses import client_address
from users import accounts, attempts, changes, credentials, hashing, models
from users.credentials import identify
from users.hashing import MAX_PASSWORD


class _CredentialsForm(forms.Form):
    """Asks for the code of the second factor if staff need one, and limits the length of passwords before hashing."""

    retry_after: int | None = None  # seconds until the next login is possible, after too many
    otp_code = forms.CharField(
        label="Code of your authenticator app",
        max_length=16,
        required=False,
        widget=UnfoldAdminTextInputWidget({"autocomplete": "one-time-code", "inputmode": "numeric"}),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, field in self.fields.items():
            if "password" in name:
                field.validators.append(MaxLengthValidator(MAX_PASSWORD))
        if not settings.SECOND_FACTOR:
            del self.fields["otp_code"]

    @contextmanager
    def refusals_as_errors(self, wrong: forms.ValidationError) -> Iterator[None]:
        """Turn refusals into errors of the form; `wrong` is the error for a wrong password."""
        try:
            yield
        except OperationalError as error:
            if transactions.sqlstate(error) not in transactions.BUSY:
                raise
            raise forms.ValidationError("Too many people are signing in. Try again in a moment.") from error
        except attempts.TooManyAttempts as refusal:
            self.retry_after = refusal.retry_after
            raise forms.ValidationError(str(refusal)) from refusal
        except (hashing.HashingBusy, accounts.WeakPassword) as refusal:
            raise forms.ValidationError(str(refusal)) from refusal
        except credentials.OtpRequired as refusal:
            raise forms.ValidationError({"otp_code": "Enter the code of your authenticator app."}) from refusal
        except credentials.InvalidCredentials as refusal:
            raise wrong from refusal


class LoginForm(_CredentialsForm, AuthenticationForm):
    """Logs staff in as the API does: guesses count together with those of the API, and a second factor is required."""

    def clean(self) -> dict[str, Any]:
        given = self.cleaned_data
        if "username" not in given or "password" not in given:
            return given
        with self.refusals_as_errors(self.get_invalid_login_error()):
            self.user_cache = identify(
                email=given["username"],
                password=given["password"],
                otp_code=given.get("otp_code", ""),
                address=client_address(self.request),
            )
        self.confirm_login_allowed(self.user_cache)
        return given


class OwnPasswordForm(_CredentialsForm, AdminOwnPasswordChangeForm):
    """Changes one's own password as the API does: guesses are counted, and the owner is informed by mail."""

    field_order = ("old_password", "otp_code", "new_password1", "new_password2")

    def __init__(self, user: models.User, *args: Any, address: str, **kwargs: Any) -> None:
        super().__init__(user, *args, **kwargs)
        self.address = address

    def clean_old_password(self) -> str:
        """Return the password unchecked: `clean` checks it and counts failures."""
        return str(self.cleaned_data["old_password"])

    def clean(self) -> dict[str, Any]:
        super().clean()
        given: dict[str, Any] = self.cleaned_data
        if not self.errors:
            wrong = self.error_messages["password_incorrect"]
            with self.refusals_as_errors(forms.ValidationError({"old_password": wrong})):
                self._change(given)
        return given

    def _change(self, given: dict[str, Any]) -> None:
        # Here and not in `save`, so that a refusal is shown on the form.
        approval = changes.approve_change(
            self.user.pk,
            current_password=given["old_password"],
            otp_code=given.get("otp_code", ""),
            address=self.address,
            password=given["new_password1"],
        )
        transactions.run(lambda: changes.update_profile(self.user.pk, approval=approval))

    def save(self, commit: bool = True) -> models.User:
        """Return the user that `clean` has saved; the session continues with the new password."""
        self.user.refresh_from_db()
        user: models.User = self.user
        return user
