"""How many requests a process works on at once."""

import time
from collections import deque
from collections.abc import Callable, Iterable
from threading import BoundedSemaphore, Lock
from typing import Any

from django.db import close_old_connections
from django.http import HttpResponse
from django.http.response import HttpResponseBase

# Who is told to come again later is told so late, so that a crowd that does not wait asks once a second and not as fast
# as it can be refused. It waits outside of the places, and leaves most of the threads to others.
HOLD_BACK_SECONDS = 1.0
MAX_HELD_BACK = 64

Handler = Callable[[dict[str, Any], Callable[..., Any]], HttpResponseBase]


def limit_concurrency(handler: Handler, at_most: int) -> Callable[..., Iterable[bytes]]:
    """Let `at_most` requests into Django at once; the others wait for their turn.

    The server has many more threads than that, for clients that send or read slowly. A request leaves its place once it
    has given its connection back to the pool: so the places bound the connections too. An answer with `Retry-After`
    is held back for HOLD_BACK_SECONDS, of MAX_HELD_BACK requests at once.
    """
    places = _Places(at_most)
    waiting = BoundedSemaphore(MAX_HELD_BACK)

    def wrapped(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        response, content = in_a_place(environ, start_response)
        if response.has_header("Retry-After") and waiting.acquire(blocking=False):
            try:
                time.sleep(HOLD_BACK_SECONDS)
            finally:
                waiting.release()
        return content

    def in_a_place(
        environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> tuple[HttpResponseBase, Iterable[bytes]]:
        places.take()
        try:
            response = handler(environ, start_response)
            if not isinstance(response, HttpResponse):
                # A file, which its client may read for minutes. The server closes it in the end.
                close_old_connections()
                return response, response
            try:
                return response, [response.content]
            finally:
                response.close()  # gives the connection back; the server would do it when all is sent
        finally:
            places.leave()

    return wrapped


class _Places:
    """A semaphore that is fair: who leaves hands the place to whoever has waited longest.

    With the standard library's, the thread that leaves runs on, takes its next request and the place with it, and
    whoever was woken finds none again: some requests of a busy worker took ten times as long.
    """

    def __init__(self, free: int) -> None:
        self._free, self._lock = free, Lock()
        self._waiting: deque[Lock] = deque()

    def take(self) -> None:
        with self._lock:
            if self._free:
                self._free -= 1
                return
            turn = Lock()
            turn.acquire()
            self._waiting.append(turn)
        turn.acquire()

    def leave(self) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._free += 1
