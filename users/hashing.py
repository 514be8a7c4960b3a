"""Password hashing by Argon2, in one thread per process at a time, so that it cannot stop the shop."""

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.contrib.auth.hashers import Argon2PasswordHasher

from shop.toolkit.refusals import Refusal

MAX_PASSWORD = 128  # the cost of hashing grows with the length
LONGEST_WAIT = 3  # seconds; refused clients get a random Retry-After up to this, so that they do not return together


class HashingBusy(Refusal):
    """Another thread of this process is hashing a password. Nothing was checked, counted or changed."""

    def __init__(self) -> None:
        super().__init__("Too many people are logging in or registering. Try again in a moment.")
        self.retry_after = random.randint(1, LONGEST_WAIT)


class _Turn:
    """The turn to hash: one thread holds it, and may take it again."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.is_registration = False
        self.is_crowded = False  # whether a registration was refused while another was hashed
        self.registrations_pause_until = 0.0  # by time.monotonic()


_turn = _Turn()


@contextmanager
def turn() -> Iterator[None]:
    """Take the process's only turn to hash. Never waits, since a waiting thread serves nobody.

    Raises HashingBusy if another thread has the turn. If that thread hashes for a registration, registrations then
    pause long enough for the refused client to return: a crowd of registrations must not lock others out.
    """
    if not _turn.lock.acquire(blocking=False):
        if _turn.is_registration:
            _turn.registrations_pause_until = time.monotonic() + LONGEST_WAIT
        raise HashingBusy
    try:
        yield
    finally:
        _turn.lock.release()


@contextmanager
def registration_turn() -> Iterator[None]:
    """Take the turn to hash for a registration. Raises HashingBusy, also while registrations pause.

    If several registrations compete, they pause after each one for as long as it took, to leave the processor to sales.
    """
    began = time.monotonic()
    if began < _turn.registrations_pause_until or not _turn.lock.acquire(blocking=False):
        _turn.is_crowded = True
        raise HashingBusy
    try:
        _turn.is_registration, _turn.is_crowded = True, False
        yield
    finally:
        _turn.is_registration = False
        now = time.monotonic()
        if _turn.is_crowded:
            _turn.registrations_pause_until = max(_turn.registrations_pause_until, now + now - began)
        _turn.lock.release()


def refuse_if_busy() -> None:
    """Raise HashingBusy if the turn is taken, before the caller counts anything."""
    with turn():
        pass


def refuse_registration_if_busy() -> None:
    """Raise HashingBusy if a registration could not hash now, before the caller counts anything."""
    if time.monotonic() < _turn.registrations_pause_until or not _turn.lock.acquire(blocking=False):
        _turn.is_crowded = True
        raise HashingBusy
    _turn.lock.release()


class OneAtATime(Argon2PasswordHasher):
    """Argon2id with the parameters that OWASP recommends (19 MiB, 2 passes, 1 lane), which keep every turn short.

    Django's own parameters (100 MiB, 8 lanes) take ten times the processor time, in eight threads at once, and a fifth
    of a gigabyte with two processes.
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
