"""Places in a worker's transaction where it can be killed or frozen. They are there in the test's application alone.

A place is armed by a file of its name in the folder that CHAOS_POINTS names; the one process that renames the file
takes the fault: it kills or stops itself there, and the file's new name tells who did.
"""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shop.toolkit.db.postgresql import base

STATEMENTS = 15  # the first of a transaction; with a key a checkout has 6, the longest of the others 15
POINTS = [
    *(f"{when}-statement-{number}" for number in range(1, STATEMENTS + 1) for when in ("before", "after")),
    "before-commit",
    "after-commit",
    "before-answer",
]
SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}

Application = Callable[[dict[str, Any], Callable[..., Any]], Any]


def arm(folder: Path, point: str, how: str) -> Path:
    """Have the next process that comes to `point` kill or stop itself; return the file."""
    file, unfinished = folder / point, folder / f"{point}.new"
    unfinished.write_text(how)
    unfinished.rename(file)  # whoever comes by finds all of it
    return file


def taken(folder: Path, point: str) -> int | None:
    """Return the process that took the fault at `point`, and forget it; None when none has yet."""
    for file in folder.glob(f"{point}.taken-*"):
        file.unlink()
        return int(file.name.rpartition("-")[2])
    return None


def reach(point: str) -> None:
    """Take the fault that is armed here, if any."""
    file = Path(os.environ["CHAOS_POINTS"]) / point
    try:
        how = file.read_text()
        file.rename(file.with_name(f"{point}.taken-{os.getpid()}"))
    except FileNotFoundError:  # not armed, or somebody else was quicker
        return
    os.kill(os.getpid(), SIGNALS[how])


class _Steps:
    """Counts the statements of a connection's transaction, and stands before and after each."""

    def __init__(self, connection: base.DatabaseWrapper) -> None:
        self.connection, self.number = connection, 0

    def __call__(self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any) -> Any:
        if not self.connection.in_atomic_block:
            return execute(sql, params, many, context)
        self.number += 1
        reach(f"before-statement-{self.number}")
        result = execute(sql, params, many, context)
        reach(f"after-statement-{self.number}")
        return result


def install() -> None:
    """Put the places into every connection that Django makes."""

    class WithPoints(base.DatabaseWrapper):
        def init_connection_state(self) -> None:
            super().init_connection_state()
            if not self.execute_wrappers:
                self.execute_wrappers.append(_Steps(self))

        def _commit(self) -> Any:
            self._steps.number = 0
            reach("before-commit")
            result = super()._commit()
            reach("after-commit")
            return result

        def _rollback(self) -> Any:
            self._steps.number = 0
            return super()._rollback()

        @property
        def _steps(self) -> _Steps:
            return next(wrapper for wrapper in self.execute_wrappers if isinstance(wrapper, _Steps))

    base.DatabaseWrapper = WithPoints  # before Django loads the module's class


def around(application: Application) -> Application:
    """Stand before each answer too, when all its work is done."""

    def wrapped(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        answer = application(environ, start_response)
        reach("before-answer")
        return answer

    return wrapped
