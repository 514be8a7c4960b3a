"""What schemathesis is told beside its configuration: who calls. Tokens live five minutes, runs longer."""

import os
from typing import Any

import httpx
import schemathesis
from schemathesis.core import NotSet

ROLE, BASE, PASSWORD = (os.environ[f"FUZZ_{name}"] for name in ("ROLE", "BASE", "PASSWORD"))


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Keep from what is sent what no generator can know, or would spoil the rest of the run."""
    # A cursor is good when a list gave it.
    if case.query:
        case.query.pop("cursor", None)
    # Leaving a body out is right where it may be left out, and `null` is sent as none: here is one that is wrong.
    is_wrong = case.meta is not None and case.meta.generation.mode.is_negative
    is_left_out = case.body is None or isinstance(case.body, NotSet)
    if is_wrong and is_left_out and case.method in ("POST", "PATCH"):
        case.body, case.media_type = [], "application/json"
    # To JSON Schema 2.0 is an integer, to the contract it is not; tests/shop has that.
    case.body = _with_plain_integers(case.body)
    # Nobody changes the password or the address that they sign in by.
    if case.method == "PATCH" and case.path == "/api/v1/users/me" and isinstance(case.body, dict):
        for name in ("password", "email"):
            case.body.pop(name, None)


def _with_plain_integers(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _with_plain_integers(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_with_plain_integers(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


if ROLE != "anonymous":

    @schemathesis.auth(refresh_interval=200)
    class Login:
        def get(self, case: Any, context: Any) -> str:
            login = {"email": f"{ROLE}@example.com", "password": PASSWORD}
            token: str = httpx.post(f"{BASE}/api/v1/auth/token", json=login).json()["access"]
            return token

        def set(self, case: Any, data: str, context: Any) -> None:
            case.headers = {**(case.headers or {}), "Authorization": f"Bearer {data}"}
