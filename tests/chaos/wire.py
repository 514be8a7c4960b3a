"""How everybody here talks to the shop: accounts, bodies, one request."""

import http.client
import json
import secrets
from dataclasses import dataclass
from typing import Any

TIMEOUT = 6  # seconds; a statement may take five
API = "/api/v1"
BOUNDARY = "kill-test"
STAFF = {"email": "staff@example.com", "password": secrets.token_urlsafe(24)}


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    replayed: bool

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def connect(port: int) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)


def send(
    connection: http.client.HTTPConnection, method: str, path: str, body: Any = None, *, token: str = "", key: str = ""
) -> Answer:
    """Ask once. Raises OSError, HTTPException when there is no answer."""
    data, content_type = _encoded(body)
    headers = {"Content-Type": content_type}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    if key:
        headers["Idempotency-Key"] = key
    connection.request(method, path, data, headers)
    answer = connection.getresponse()
    return Answer(answer.status, answer.read(), answer.headers.get("Idempotent-Replayed") == "true")


def account_of(name: str, staff: dict[str, str]) -> dict[str, str]:
    """Return the credentials of a client by its name."""
    if name.startswith("staff"):
        return staff
    return {"email": f"{name}@example.com", "password": "nine lives of a cat"}


def sign_in(port: int, account: dict[str, str]) -> str:
    """Return an access token. Raises OSError, HTTPException, KeyError, ValueError when there is none to be had."""
    token: str = send(connect(port), "POST", f"{API}/auth/token", account).json["access"]
    return token


def _encoded(body: Any) -> tuple[bytes | None, str]:
    """Return a body as bytes, and its type: text is the file of an import, everything else JSON."""
    if not isinstance(body, str):
        return None if body is None else json.dumps(body).encode(), "application/json"
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="mode"\r\n\r\nadjust\r\n',
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="stock.csv"\r\n',
        f"Content-Type: text/csv\r\n\r\n{body}\r\n--{BOUNDARY}--\r\n",
    ]
    return "".join(parts).encode(), f"multipart/form-data; boundary={BOUNDARY}"
