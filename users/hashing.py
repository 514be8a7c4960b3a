"""Passwords are hashed by Argon2, in one thread of each process at a time: hashing must not stop the shop."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.contrib.auth.hashers import Argon2PasswordHasher

from shop.toolkit.refusals import Refusal

MAX_PASSWORD = 128  # hashing costs by length, so there is an end to it
RETRY_AFTER_SECONDS = 1
# After a registration the turn is left to people who log in, for as many times as long as the registration took.
REST = 3


class HashingBusy(Refusal):
    """Another thread of this process hashes a password; nothing was judged, counted or changed."""

    retry_after = RETRY_AFTER_SECONDS

    def __init__(self) -> None:
        super().__init__("Too many people are logging in or registering just now. Try again in a second.")


_turn = threading.RLock()
_newcomers_rest_until = 0.0


@contextmanager
def turn() -> Iterator[None]:
    """Have the process's one turn to hash. It is never waited for: a thread that waits serves nobody.

    Raises HashingBusy where another thread has it; the same thread may take it again.
    """
    if not _turn.acquire(blocking=False):
        raise HashingBusy
    try:
        yield
    finally:
        _turn.release()


@contextmanager
def newcomers_turn() -> Iterator[None]:
    """Have the turn to hash for a registration, which leaves most of the time to logins. Raises HashingBusy."""
    global _newcomers_rest_until  # noqa: PLW0603  # of the process, like the turn itself
    if time.monotonic() < _newcomers_rest_until:
        raise HashingBusy
    with turn():
        began = time.monotonic()
        yield
        ended = time.monotonic()
        _newcomers_rest_until = ended + REST * (ended - began)


class OneAtATime(Argon2PasswordHasher):
    """Argon2id with the parameters that OWASP recommends (19 MiB, 2 passes, 1 lane): everybody's turn is short.

    Django's own (100 MiB, 8 lanes) take ten times the processor time, in eight threads at once, and a fifth of a
    gigabyte where two processes serve.
    """

    time_cost = 2
    memory_cost = 19 * 1024  # KiB
    parallelism = 1

    def encode(self, password: str, salt: str) -> str:
        with turn():
            return str(super().encode(password, salt))

    def verify(self, password: str, encoded: str) -> bool:
        with turn():
            return bool(super().verify(password, encoded))
