from typing import Any

from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.request import Request

from shop.toolkit.http.addresses import client_address
from shop.toolkit.http.permissions import caller_of, staff_with
from shop.toolkit.http.schema import answers, paged
from shop.toolkit.http.views import ApiView
from users import accounts, changes, resets, sessions
from users.authentication import read_refresh_token, token_pair
from users.shapes import (
    AcceptedShape,
    CredentialsShape,
    EmailConfirmShape,
    NewPasswordShape,
    PasswordResetShape,
    ProfileChangeShape,
    RefreshShape,
    RegistrationShape,
    TokenPairShape,
    UserListQuery,
    UserShape,
)


class TokenView(ApiView):
    keeps_answers = False
    authentication_classes = ()
    access = {"POST": [AllowAny]}

    @extend_schema(
        request=CredentialsShape, responses=answers(200, TokenPairShape, "invalid_credentials", "otp_required", "busy")
    )
    def post(self, request: Request) -> HttpResponse:
        """Log in with email and password. Staff with a second factor also send its code."""
        given = self.body(CredentialsShape)
        # Not in a transaction of its own: a failed attempt must stay counted although the answer is a refusal.
        session = sessions.open_session(**given, address=client_address(request), now=timezone.now())
        return self.answer(token_pair(session), TokenPairShape)


class TokenRefreshView(ApiView):
    keeps_answers = False
    authentication_classes = ()
    access = {"POST": [AllowAny]}

    @extend_schema(request=RefreshShape, responses=answers(200, TokenPairShape, "invalid_token"))
    def post(self, request: Request) -> HttpResponse:
        """Exchange a refresh token for the next pair of tokens."""
        session_id, refresh_id = read_refresh_token(self.body(RefreshShape)["refresh"])
        # Not in a transaction of its own: the end of a stolen session must stay although the answer is a refusal.
        session = sessions.continue_session(session_id, refresh_id=refresh_id, now=timezone.now())
        return self.answer(token_pair(session), TokenPairShape)


class LogoutView(ApiView):
    keeps_answers = False
    authentication_classes = ()
    access = {"POST": [AllowAny]}

    @extend_schema(request=RefreshShape, responses=answers(204, None, "invalid_token"))
    def post(self, request: Request) -> HttpResponse:
        """End the session that a refresh token belongs to."""
        session_id, _ = read_refresh_token(self.body(RefreshShape)["refresh"])
        sessions.end_session(session_id, now=timezone.now())
        return self.nothing()


class PasswordResetView(ApiView):
    authentication_classes = ()
    access = {"POST": [AllowAny]}

    @extend_schema(request=PasswordResetShape, responses=answers(202, AcceptedShape))
    def post(self, request: Request) -> HttpResponse:
        """Request a mail with a token for a new password. The answer is the same whether the account exists or not."""
        given = self.body(PasswordResetShape)

        def note() -> dict[str, Any]:
            resets.want_password_reset(**given)
            return {"detail": "If there is an account with this address, a mail is on its way."}

        return self.command(note, shape=AcceptedShape, status=202)


class PasswordResetConfirmView(ApiView):
    authentication_classes = ()
    access = {"POST": [AllowAny]}

    @extend_schema(request=NewPasswordShape, responses=answers(204, None, "busy"))
    def post(self, request: Request) -> HttpResponse:
        """Set a new password with the token from a mail. Every earlier token of the user ends."""
        given = self.body(NewPasswordShape)
        return self.prepared_command(lambda: resets.prepare_reset(**given), resets.reset_password)


class EmailConfirmView(ApiView):
    authentication_classes = ()
    access = {"POST": [AllowAny]}

    @extend_schema(request=EmailConfirmShape, responses=answers(204, None, "email_exists"))
    def post(self, request: Request) -> HttpResponse:
        """Confirm a new email with the token that was mailed to it."""
        given = self.body(EmailConfirmShape)
        return self.command(lambda: changes.confirm_email(**given))


class UserListView(ApiView):
    access = {"GET": [staff_with("users.view_user")], "POST": [AllowAny]}
    query_shapes = {"GET": UserListQuery}

    @extend_schema(parameters=[UserListQuery], responses=answers(200, paged(UserShape)))
    def get(self, request: Request) -> HttpResponse:
        """List users."""
        return self.page(accounts.list_users(**self.parameters), UserShape)

    @extend_schema(request=RegistrationShape, responses=answers(201, UserShape, "email_exists", "busy"))
    def post(self, request: Request) -> HttpResponse:
        """Register a customer account."""
        given = self.body(RegistrationShape)
        address = client_address(request)
        return self.prepared_command(
            lambda: accounts.prepare_registration(**given, address=address),
            accounts.register,
            shape=UserShape,
            status=201,
        )


class MeView(ApiView):
    access = {"GET": [IsAuthenticated], "PATCH": [IsAuthenticated]}

    @extend_schema(responses=answers(200, UserShape))
    def get(self, request: Request) -> HttpResponse:
        """Get your own profile."""
        return self.answer(accounts.get_user(caller_of(request).id, caller=caller_of(request)), UserShape)

    @extend_schema(
        request=ProfileChangeShape, responses=answers(200, UserShape, "invalid_credentials", "otp_required", "busy")
    )
    def patch(self, request: Request) -> HttpResponse:
        """Change your own profile. A new email or password needs the current password, and a mail reports the change.

        A new password ends every token. A new email takes effect once the token that is mailed to it has confirmed
        it. If another account has that email, only the mail says so.
        """
        given, user_id = self.body(ProfileChangeShape), caller_of(request).id
        name = given.pop("name", None)
        if not given.keys() & {"email", "password"}:
            return self.command(lambda: changes.update_profile(user_id, name=name), shape=UserShape)
        address = client_address(request)
        return self.prepared_command(
            lambda: changes.approve_change(user_id, **given, address=address),
            lambda approval: changes.update_profile(user_id, name=name, approval=approval),
            shape=UserShape,
        )


class UserView(ApiView):
    access = {"GET": [IsAuthenticated]}

    @extend_schema(responses=answers(200, UserShape, "user_not_found"))
    def get(self, request: Request, user_id: int) -> HttpResponse:
        """Get a user: yourself, or anybody with the permission to view users."""
        return self.answer(accounts.get_user(user_id, caller=caller_of(request)), UserShape)
