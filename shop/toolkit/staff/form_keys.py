"""One-time keys of the staff's forms: what a form asks for is done once, however often it is sent.

A page puts a key into its form. The work claims the key in its own transaction and keeps its result there, as a request
does with an Idempotency-Key, in the same table. Whoever sends the form again is shown the first result.
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

from django.core.signing import BadSignature, TimestampSigner
from django.http import HttpRequest
from django.utils import timezone

from shop.toolkit.callers import User
from shop.toolkit.days import day_of, shown
from shop.toolkit.http import idempotency

FIELD = "form_key"
_NO_VALUES = (FIELD, "csrfmiddlewaretoken")


class FormOutdated(Exception):
    """The form has no key that can still be checked; `str()` is the sentence for its reader."""

    def __init__(self, said: str = "") -> None:
        super().__init__(
            said
            or "This form is too old to tell whether it was sent before, so nothing was done. "
            "Reload the page, check that the change is not there yet, and send it again."
        )


@dataclass(frozen=True)
class Done:
    """What came of a form: the sentence for its reader, and the address of the page that followed."""

    message: str
    location: str
    at: datetime

    @property
    def time(self) -> str:
        """When it was done: the time, with the day unless it is today's."""
        pattern = "%H:%M %Z" if day_of(self.at) == day_of(timezone.now()) else "%Y-%m-%d %H:%M %Z"
        return shown(self.at, pattern)


def new_key(owner: User) -> str:
    """Return a key for one form of one user, signed with the time at which it was made."""
    return _signer().sign(f"{owner.id}:{uuid4().hex}")


def scope_of(request: HttpRequest, owner: User) -> idempotency.Scope:
    """Return the scope of a form that was sent. Raises FormOutdated unless its key is ours, the user's and not too old.

    A key is refused when what it was claimed with may have been cleared: from then on nobody knows.
    """
    raw = request.POST.get(FIELD, "")
    try:
        key = _signer().unsign(raw, max_age=idempotency.KEPT)
    except BadSignature as error:
        raise FormOutdated from error
    if not key.startswith(f"{owner.id}:"):
        raise FormOutdated("This form was opened by another account, so nothing was done. Send it again as yours.")
    endpoint = f"FORM {request.path}"
    return idempotency.scope_of(owner=owner, endpoint=endpoint, key=key, body=_values(request))


def find(scope: idempotency.Scope) -> Done | None:
    """Return what came of a form that was sent before. Raises idempotency.KeyReused when it had other values."""
    kept = idempotency.find(scope)
    return read(kept) if kept else None


def read(kept: idempotency.Kept) -> Done:
    """Return a result as it was kept."""
    assert kept.at is not None, "it comes from the table"
    return Done(**json.loads(kept.body), at=kept.at)


def keep(scope: idempotency.Scope, *, message: str, location: str) -> None:
    """Keep the result of the work that claimed the key, in the same transaction."""
    body = json.dumps({"message": message, "location": location}).encode()
    idempotency.keep(scope, idempotency.Kept(302, body, "application/json"))


def _signer() -> TimestampSigner:
    return TimestampSigner(salt="toolkit.form_keys")


def _values(request: HttpRequest) -> dict[str, Any]:
    """Return what a form says, its files by their digests."""
    values: dict[str, Any] = {name: given for name, given in request.POST.lists() if name not in _NO_VALUES}
    for name, files in request.FILES.lists():
        values[name] = [(file.name, _digest(file)) for file in files]
    return values


def _digest(file: Any) -> str:
    digest = hashlib.sha256()
    for chunk in file.chunks():
        digest.update(chunk)
    file.seek(0)
    return digest.hexdigest()
