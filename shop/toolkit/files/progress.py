"""How far long work has come: a bar with rate and time left on a terminal, plain lines elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TextIO

from tqdm import tqdm

LINE_SECONDS = 5


class Progress(Protocol):
    """Told how much is done in all."""

    def __call__(self, done: int) -> None: ...


@contextmanager
def progress(title: str, *, total: int | None, stream: TextIO | Any) -> Iterator[Progress]:
    """Show the progress of `total` rows (None: nobody knows) on `stream` while the body runs."""
    if stream.isatty():
        with tqdm(total=total, desc=title, unit=" rows", unit_scale=True, file=stream) as bar:
            yield lambda done: _move(bar, done)
    else:
        yield _Lines(title, total, stream)


def _move(bar: "tqdm[Any]", done: int) -> None:
    bar.update(done - bar.n)


class _Lines:
    def __init__(self, title: str, total: int | None, stream: TextIO | Any) -> None:
        self._title, self._total, self._stream = title, total, stream
        self._started = self._said = time.monotonic()

    def __call__(self, done: int) -> None:
        now = time.monotonic()
        if now - self._said < LINE_SECONDS:
            return
        self._said = now
        rate = done / (now - self._started)
        left = ""
        if self._total is not None and rate:
            left = f" of {self._total:,}, {(self._total - done) / rate:.0f} s left"
        self._stream.write(f"{self._title}: {done:,} rows{left}, {rate:,.0f} a second\n")
        self._stream.flush()
