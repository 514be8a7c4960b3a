"""Passwords are hashed by Argon2, in one thread of each process at a time: hashing must not stop the shop."""

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.contrib.auth.hashers import Argon2PasswordHasher

from shop.toolkit.refusals import Refusal

MAX_PASSWORD = 128  # hashing costs by length, so there is an end to it
LONGEST_WAIT = 3  # seconds; who was refused is told one to three, so that a crowd does not come back at once


class HashingBusy(Refusal):
    """Another thread of this process hashes a password; nothing was judged, counted or changed."""

    def __init__(self) -> None:
        super().__init__("Too many people are logging in or registering just now. Try again in a moment.")
        self.retry_after = random.randint(1, LONGEST_WAIT)


class _Turn:
    """Who hashes: one thread, which may take its turn again."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.is_newcomers = False
        self.is_crowded = False  # whether a registration was refused while another was hashed
        self.newcomers_rest_until = 0.0  # by time.monotonic()


_turn = _Turn()


@contextmanager
def turn() -> Iterator[None]:
    """Have the process's one turn to hash. It is never waited for: a thread that waits serves nobody.

    Raises HashingBusy where another thread has it. Where that one registers somebody, registrations then rest until
    whoever was refused has come again: a crowd that registers locks nobody out.
    """
    if not _turn.lock.acquire(blocking=False):
        if _turn.is_newcomers:
            _turn.newcomers_rest_until = time.monotonic() + LONGEST_WAIT
        raise HashingBusy
    try:
        yield
    finally:
        _turn.lock.release()


@contextmanager
def newcomers_turn() -> Iterator[None]:
    """Have the turn to hash for a registration. Raises HashingBusy, also while registrations rest.

    Where several want it at once they rest after each for as long as it took, and leave the processor to the sale.
    """
    began = time.monotonic()
    if began < _turn.newcomers_rest_until or not _turn.lock.acquire(blocking=False):
        _turn.is_crowded = True
        raise HashingBusy
    try:
        _turn.is_newcomers, _turn.is_crowded = True, False
        yield
    finally:
        _turn.is_newcomers = False
        now = time.monotonic()
        if _turn.is_crowded:
            _turn.newcomers_rest_until = max(_turn.newcomers_rest_until, now + now - began)
        _turn.lock.release()


def expect_turn() -> None:
    """Refuse now who would be refused the turn in a moment, before anything is counted. Raises HashingBusy."""
    with turn():
        pass


def expect_newcomers_turn() -> None:
    """Refuse now a registration that would be refused in a moment. Raises HashingBusy."""
    if time.monotonic() < _turn.newcomers_rest_until or not _turn.lock.acquire(blocking=False):
        _turn.is_crowded = True
        raise HashingBusy
    _turn.lock.release()


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
