"""Show which step is running and for how long: a line that is updated on a terminal, plain lines elsewhere.

It writes to standard error, because a command's standard output may be a file. It needs nothing but the standard
library, because the installer runs before anything is installed.
"""

import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# A step that takes less than a second leaves no line, so a start with nothing to do stays quiet.
FIRST_LINE_SECONDS = 1.0
LINE_SECONDS = 5.0
REDRAW_SECONDS = 0.2
ERASE = "\r\x1b[K"


@contextmanager
def step(title: str, *, done: str = "", detail: Callable[[], str] = lambda: "") -> Iterator[None]:
    """Show `title` and `detail()` while the body runs; afterwards write `done` with the time that it took, if given."""
    began = time.monotonic()

    def line() -> str:
        return ", ".join(part for part in (title, detail(), f"{time.monotonic() - began:.0f} s") if part)

    over = threading.Event()
    show = _redraw if _is_terminal() else _print_lines
    ticker = threading.Thread(target=show, args=(line, over), daemon=True)
    try:
        ticker.start()
        yield
    finally:
        over.set()
        if ticker.is_alive():  # not where a signal came before it was
            ticker.join()
    if done:
        print(f"{done} in {time.monotonic() - began:.0f} s.", file=sys.stderr, flush=True)


def _is_terminal() -> bool:
    return sys.stderr.isatty()


def _redraw(line: Callable[[], str], over: threading.Event) -> None:
    columns = shutil.get_terminal_size().columns
    while not over.wait(REDRAW_SECONDS):
        # A longer line would wrap. The cursor goes back, so that what others write begins at the margin.
        sys.stderr.write(ERASE + line()[: columns - 1] + "\r")
        sys.stderr.flush()
    sys.stderr.write(ERASE)
    sys.stderr.flush()


def _print_lines(line: Callable[[], str], over: threading.Event) -> None:
    seconds = FIRST_LINE_SECONDS
    while not over.wait(seconds):
        print(line(), file=sys.stderr, flush=True)
        seconds = LINE_SECONDS
