"""Sessions as pairs of signed bearer tokens, and the authentication of requests by these tokens."""

import hashlib
import time
from functools import lru_cache
from typing import Any
from uuid import UUID

import jwt
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS
from django.utils.crypto import constant_time_compare
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request
from rest_framework_simplejwt import tokens
from rest_framework_simplejwt.backends import TokenBackend
from rest_framework_simplejwt.exceptions import InvalidToken, TokenBackendError, TokenError

from users import models, sessions, sql

INVALID = "The token is malformed, expired, revoked or from another issuer."
ISSUER, AUDIENCE = "shop", "shop-api"


class KeyRing(TokenBackend):
    """Signs with the first key, and verifies with the key that the token's header names (`kid`)."""

    def __init__(self, keys: list[str]) -> None:
        super().__init__("HS256", audience=AUDIENCE, issuer=ISSUER)
        self.first = keys[0]
        self.keys = {key_id(key): key for key in keys}

    def encode(self, payload: dict[str, Any]) -> str:
        claims = {**payload, "iss": ISSUER, "aud": AUDIENCE}
        return jwt.encode(claims, self.first, self.algorithm, headers={"kid": key_id(self.first)})

    def get_verifying_key(self, token: Any) -> str:
        try:
            return self.keys[jwt.get_unverified_header(token)["kid"]]
        except (jwt.InvalidTokenError, KeyError, TypeError) as error:
            raise TokenBackendError(INVALID) from error


def key_id(key: str) -> str:
    """Return the id of a key for the header of tokens. It reveals nothing about the key."""
    return hashlib.sha256(b"shop.key-id:" + key.encode()).hexdigest()[:12]


RING = KeyRing([settings.JWT_SIGNING_KEY, *settings.JWT_PREVIOUS_KEYS])


class AccessToken(tokens.AccessToken):
    token_backend = RING


class RefreshToken(tokens.RefreshToken):
    token_backend = RING


# A valid signature stays valid, and a client sends its token for minutes. What can change is checked on each request.
@lru_cache(maxsize=10_000)
def claims_of(raw: bytes) -> tuple[UUID, str, int]:
    """Return session, stamp and expiry of an access token. An invalid token raises any of several exceptions."""
    token: Any = AccessToken(raw)  # type: ignore[arg-type]  # declared for another Token than it takes
    # A signed token may still be malformed: older schemes had other claims.
    if type(token["stamp"]) is not str:
        raise TypeError("a stamp is text")
    return UUID(token["sid"]), token["stamp"], token["exp"]


class TokenAuthentication(BaseAuthentication):
    """Authenticates by access token. Looks up its session on each request, so that an ended one is refused at once."""

    def authenticate(self, request: Request) -> tuple[models.User, None] | None:
        scheme, *rest = request.META.get("HTTP_AUTHORIZATION", "").encode("latin-1").split() or [b""]
        if scheme.lower() != b"bearer":
            return None
        try:
            (raw,) = rest
            session_id, stamp, expires_at = claims_of(raw)
        except (TokenError, KeyError, ValueError, TypeError, AttributeError) as error:
            raise InvalidToken(INVALID) from error
        if expires_at <= time.time():
            raise InvalidToken(INVALID)
        row = sql.find_caller(session_id)
        user = models.User.from_db(DEFAULT_DB_ALIAS, sql.CALLER, row) if row else None
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


def token_pair(session: sessions.Session) -> dict[str, str]:
    """Sign `{"access", "refresh"}` for a session."""
    access, refresh = AccessToken(), RefreshToken()
    access["sid"] = refresh["sid"] = str(session.id)
    access["sub"], access["stamp"] = str(session.user_id), session.token_stamp
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
