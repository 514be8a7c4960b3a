"""Change tables that are in use, there and back, while the shop is at work. `make drill-migrate`"""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg

from tests.chaos.nemesis import Fault
from tests.chaos.site import Site
from tests.drills import local

PAUSE_SECONDS = 1.0
STEPS = {"add a column": "0001", "add an index": "0002", "add a constraint": "0003", "check a constraint": "0004"}
REPORT_SECONDS = 5.0  # somebody's long transaction, which a change of its table has to wait for


class Operator:
    """Migrates one step after the other; once while somebody reads for long, and back in the end."""

    def __init__(self, site: Site, seed: int) -> None:
        self.site = site
        self.done: list[Fault] = []

    @property
    def missing(self) -> list[str]:
        """The steps that never came to pass."""
        return sorted({*STEPS, "beside a long report", "undo"} - {fault.kind for fault in self.done})

    def run(self, until: float) -> None:
        """Migrate there and back until that time. Raises CalledProcessError."""
        while time.time() < until or self.missing:
            with self._reading_for_long():
                self._step("beside a long report", "0001")
            self._step("undo", "zero")
            for name, target in STEPS.items():
                self._step(name, target)
            self._step("undo", "zero")

    def tell(self, say: Callable[[str], None]) -> None:
        """Say how many there were."""
        say(f"{len(self.done)} migrations")

    def _step(self, kind: str, target: str) -> None:
        began = time.time()
        self.site.manage("migrate", "--settings", "tests.later.settings", "-v0", "later", target)
        self.done.append(Fault(kind, began, time.time(), target))
        time.sleep(PAUSE_SECONDS)

    @contextmanager
    def _reading_for_long(self) -> Iterator[None]:
        """Have somebody read the stock in a transaction that is open for a while; the lock of a change waits for it."""
        began, ended = threading.Event(), time.monotonic() + REPORT_SECONDS

        def read() -> None:
            with psycopg.connect(self.site.database.url) as connection:
                connection.execute("SELECT count(*) FROM inventory_stock")
                began.set()
                time.sleep(max(0, ended - time.monotonic()))

        reader = threading.Thread(target=read)
        reader.start()
        began.wait()
        yield
        reader.join()


if __name__ == "__main__":
    sys.exit(local.main(str(__doc__), Operator, title="Migrations of an open shop", command="make drill-migrate"))
