"""Bearer tokens at the edge: what a session looks like as a pair of signed tokens, and back."""

from typing import Any
from uuid import UUID

from django.utils.crypto import constant_time_compare
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.request import Request
from rest_framework_simplejwt.exceptions import InvalidToken, TokenError
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken

from users import models
from users import services as users

INVALID = "The token is malformed, expired, revoked or not ours."


class TokenAuthentication(BaseAuthentication):
    """Take an access token; look the user up on every request, so that what was revoked is refused at once."""

    def authenticate(self, request: Request) -> tuple[models.User, None] | None:
        scheme, *rest = get_authorization_header(request).split() or [b""]
        if scheme.lower() != b"bearer":
            return None
        try:
            (raw,) = rest
            token: Any = AccessToken(raw)  # type: ignore[arg-type]  # declared for another Token than it takes
            user_id, stamp = token["user_id"], token["stamp"]
        except (TokenError, KeyError, ValueError) as error:
            raise InvalidToken(INVALID) from error
        # Signed is not well-formed: a token of an older scheme may carry anything.
        if type(user_id) is not int or type(stamp) is not str:
            raise InvalidToken(INVALID)
        user = models.User.objects.filter(pk=user_id, is_active=True).first()
        if user is None or not constant_time_compare(user.token_stamp, stamp):
            raise InvalidToken(INVALID)
        return user, None

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # registers itself, untyped
    """Names the scheme in the OpenAPI document."""

    target_class = "users.authentication.TokenAuthentication"
    name = "bearer"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


def token_pair(session: users.Session) -> dict[str, str]:
    """Sign `{"access", "refresh"}` for a session."""
    access = AccessToken()
    access["user_id"], access["stamp"] = session.user_id, session.token_stamp
    refresh = RefreshToken()
    refresh["user_id"], refresh["sid"] = session.user_id, session.id.hex
    refresh["jti"] = session.refresh_id.hex
    refresh.payload["exp"] = int(session.expires_at.timestamp())
    return {"access": str(access), "refresh": str(refresh)}


def read_refresh_token(raw: str) -> tuple[UUID, UUID]:
    """Return the session id and refresh id of a refresh token. Raises InvalidToken."""
    try:
        token: Any = RefreshToken(raw)  # type: ignore[arg-type]  # as above
        return UUID(token["sid"]), UUID(token["jti"])
    except (TokenError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise InvalidToken(INVALID) from error
