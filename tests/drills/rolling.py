"""Restart servers and workers all the time, as releases do, while the shop is at work. `make drill-restart`"""

import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable

import psutil

from tests.chaos.nemesis import Fault
from tests.chaos.site import Process, Site
from tests.drills import local
from tests.drills.cluster import until_true

PAUSE_SECONDS = 1.0
END_SECONDS = 30  # for a worker that answers its last request; granian's own patience is 10


class Operator:
    """Restarts one thing after the other; none of them may have to be killed."""

    def __init__(self, site: Site, seed: int) -> None:
        self.site, self.random = site, random.Random(seed)
        self.done: list[Fault] = []
        self.kinds: dict[str, Callable[[], str]] = {
            "reload workers": self.reload_workers,
            "restart server": self.restart_server,
            "restart worker": self.restart_worker,
        }

    @property
    def missing(self) -> list[str]:
        """The kinds that never came to pass."""
        return sorted(set(self.kinds) - {fault.kind for fault in self.done})

    def run(self, until: float) -> None:
        """Restart until that time. Raises TimeoutError when something does not end or come back."""
        turn = 0
        while time.time() < until or self.missing:
            kind = list(self.kinds)[turn % len(self.kinds)]
            began = time.time()
            what = self.kinds[kind]()
            self.done.append(Fault(kind, began, time.time(), what))
            turn += 1
            time.sleep(PAUSE_SECONDS)

    def tell(self, say: Callable[[str], None]) -> None:
        """Say what was restarted, and whether anything had to be killed for it."""
        counts = Counter(fault.kind for fault in self.done)
        killed = sum(path.read_text(errors="replace").count("refused to gracefully stop") for path in self._logs())
        say(f"{', '.join(f'{kind} {count}' for kind, count in sorted(counts.items()))}; {killed} had to be killed")

    def _logs(self) -> list:
        return sorted(self.site.folder.glob("web-*.log"))

    def reload_workers(self) -> str:
        """SIGHUP: granian starts a new worker for each, and stops the old one when that serves."""
        server = self.random.choice(self.site.servers)
        old = set(_workers(server))
        server.send_signal(signal.SIGHUP)
        until_true(
            lambda: len(new := set(_workers(server))) == len(old) and not new & old,
            END_SECONDS,
            "workers were not exchanged",
        )
        return f"{len(old)} workers of {server.pid}"

    def restart_server(self) -> str:
        """SIGTERM, and start it again; the other one serves meanwhile."""
        server = self.random.choice(self.site.servers)
        self._end(server)
        self.site.await_ready()
        return f"server {server.pid}"

    def restart_worker(self) -> str:
        """The same with one of those that do jobs."""
        worker = self.random.choice(self.site.sweepers)
        self._end(worker)
        self.site.keep_up()
        return f"worker {worker.pid}"

    def _end(self, process: Process) -> None:
        process.send_signal(signal.SIGTERM)
        if process.wait(END_SECONDS) != 0:
            raise TimeoutError(f"process {process.pid} ended with {process.returncode}")


def _workers(server: Process) -> list[int]:
    return [child.pid for child in psutil.Process(server.pid).children()]


if __name__ == "__main__":
    sys.exit(local.main(str(__doc__), Operator, title="Rolling restart", command="make drill-restart"))
