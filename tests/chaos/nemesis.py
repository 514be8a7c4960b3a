"""Does to a running shop what the world does, from a seed; every fault is counted, and ends.

A fault is a method of `Nemesis` that starts it, waits and mends it; it returns what it did, or nothing when it found
nobody to do it to, in which case it does not count.
"""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import psutil

from tests.chaos import failpoints
from tests.chaos.database import Database
from tests.chaos.proxy import FaultProxy
from tests.chaos.site import Site

PAUSES = (0.3, 1.2)  # seconds between two faults
# Most are over before anybody gives up. Some outlast every limit: a statement's five seconds, a client's six.
SHORT, LONG, LONG_SHARE = (0.5, 2.5), (6, 9), 0.15
ARMED_SECONDS = 3  # that a place waits for somebody to come by


@dataclass(frozen=True)
class Fault:
    """One fault: of which kind, from when to when, what it hit."""

    kind: str
    began: float
    ended: float
    what: str


class Nemesis:
    """Works on a site until it is told to stop."""

    def __init__(self, site: Site, database: Database, proxy: FaultProxy, seed: int) -> None:
        self.site, self.database, self.proxy, self.random = site, database, proxy, random.Random(seed)
        self.done: list[Fault] = []
        self.points: Counter[str] = Counter()  # where processes were killed or frozen
        self.mended = 0.0  # when the mending of the last fault began
        self.kinds: dict[str, Callable[[], str]] = {
            "kill_worker": self.kill_worker,
            "freeze_worker": self.freeze_worker,
            "kill_at_a_point": self.kill_at_a_point,
            "freeze_at_a_point": self.freeze_at_a_point,
            "kill_server": self.kill_server,
            "kill_sweeper": self.kill_sweeper,
            "kill_backend": self.kill_backend,
            "freeze_backend": self.freeze_backend,
            "kill_database": self.kill_database,
            **({"fill_disk": self.fill_disk} if database.can_be_filled else {}),
            "cut": self.cut,
            "delay": self.delay,
            "swallow": self.swallow,
            "lose_commit": self.lose_commit,
            "lose_answer_to_commit": self.lose_answer_to_commit,
        }
        # What is quickly over comes more often.
        self.weights = {
            "kill_at_a_point": 6,
            "kill_worker": 3,
            "lose_answer_to_commit": 3,
            "cut": 2,
            "kill_database": 2,
        }

    @property
    def counts(self) -> Counter[str]:
        """How often each kind was done, those that never were included."""
        counted = Counter(fault.kind for fault in self.done)
        return Counter({kind: counted[kind] for kind in self.kinds})

    @property
    def missing(self) -> list[str]:
        """The kinds of faults that never came to pass."""
        return [kind for kind, count in self.counts.items() if not count]

    def tell(self, say: Callable[[str], None]) -> None:
        """Say what was done."""
        say(", ".join(f"{kind} {count}" for kind, count in sorted(self.counts.items())))
        reached = sum(count > 0 for count in self.points.values())
        say(f"{self.points.total()} faults at {reached} of {len(failpoints.POINTS)} places of a transaction")

    def run(self, until: float) -> None:
        """Do faults until that time, each kind as soon as possible for the first time."""
        first = list(self.kinds)
        self.random.shuffle(first)
        while time.time() < until:
            # One that finds nobody to be done to must not keep the others from coming.
            kind = first.pop() if first and self.random.random() < 0.9 else self._any()
            self._do(kind)
            if not self.counts[kind]:
                first.insert(0, kind)
            time.sleep(self.random.uniform(*PAUSES))
            self.site.keep_up()

    def _any(self) -> str:
        (kind,) = self.random.choices(list(self.kinds), weights=[self.weights.get(kind, 1) for kind in self.kinds])
        return kind

    def _do(self, kind: str) -> None:
        began, self.mended = time.time(), 0.0
        what = ""
        with suppress(psutil.NoSuchProcess, ProcessLookupError):  # somebody ended before they could be hit
            what = self.kinds[kind]()
        ended = self.mended or time.time()
        self.site.keep_up()
        if what:
            self.done.append(Fault(kind, began, ended, what))

    def kill_worker(self) -> str:
        """Kill -9 a process that answers requests."""
        return self._kill(self.site.web_workers())

    def freeze_worker(self) -> str:
        """Stop a process that answers requests for a while."""
        return self._freeze(self.site.web_workers())

    def kill_at_a_point(self) -> str:
        """Have whoever comes to a place of a transaction kill itself there."""
        point, _ = self._spring("kill")
        return point

    def freeze_at_a_point(self) -> str:
        """Have whoever comes to a place of a transaction stop there for a while, with the locks it has."""
        point, pid = self._spring("stop")
        if point:
            self._thaw_later(psutil.Process(pid))
        return point

    def _spring(self, how: str) -> tuple[str, int]:
        point = self.random.choice(failpoints.POINTS)
        file = failpoints.arm(self.site.points, point, how)
        deadline = time.monotonic() + ARMED_SECONDS
        while time.monotonic() < deadline:
            if pid := failpoints.taken(self.site.points, point):
                break
            time.sleep(0.02)
        else:
            file.unlink(missing_ok=True)
            pid = failpoints.taken(self.site.points, point)  # in the last moment
        self.points[point] += bool(pid)
        return (point, pid) if pid else ("", 0)

    def kill_server(self) -> str:
        """Kill -9 a web server with all of its workers."""
        server = self.random.choice(self.site.servers)
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
        return f"server {server.pid}"

    def kill_sweeper(self) -> str:
        """Kill -9 a process that expires holds."""
        sweeper = self.random.choice(self.site.sweepers)
        sweeper.kill()
        sweeper.wait()
        return f"sweeper {sweeper.pid}"

    def kill_backend(self) -> str:
        """Kill -9 a process of PostgreSQL that serves a connection; it then ends all the others, and recovers."""
        return self._kill(self.database.backends())

    def freeze_backend(self) -> str:
        """Stop a process of PostgreSQL that serves a connection for a while, with the locks it has."""
        return self._freeze(self.database.backends())

    def kill_database(self) -> str:
        """Kill -9 all of PostgreSQL, and start it again a moment later."""
        self.database.kill()
        try:
            self._wait(0.1, 1.5)
        finally:
            self.mended = time.time()
            self.database.restart()
        return "all of PostgreSQL"

    def fill_disk(self) -> str:
        """Leave PostgreSQL no room for its log for a while."""
        self.database.fill_disk()
        try:
            self._wait(0.5, 2)
        finally:
            self.mended = time.time()
            met = self.database.clear_disk()
        return "no space left" if met else ""

    def cut(self) -> str:
        """Cut every connection to the database."""
        links = self.proxy.cut_all()
        return f"{links} connections" if links else ""

    def delay(self) -> str:
        """Let everything between servers and database take longer."""
        seconds = self.proxy.delay = self.random.uniform(0.02, 0.3)
        try:
            self._wait(0.5, 2)
        finally:
            self.proxy.delay = 0.0
        return f"{seconds * 1000:.0f} ms"

    def swallow(self) -> str:
        """Let nothing through between servers and database, and cut nothing."""
        self.proxy.swallows = True
        try:
            self._wait_some()
        finally:
            self.proxy.swallows = False
        return "every connection"

    def lose_commit(self) -> str:
        """Cut a connection as its COMMIT comes by, before the database has it."""
        return self._lose("commit_lost")

    def lose_answer_to_commit(self) -> str:
        """Let a COMMIT through, and cut the connection instead of giving the answer back."""
        return self._lose("answer_lost")

    def _lose(self, how: str) -> str:
        before = self.proxy.done
        self.proxy.lost_commit = how
        deadline = time.monotonic() + ARMED_SECONDS
        while time.monotonic() < deadline and self.proxy.done == before:
            time.sleep(0.02)
        self.proxy.lost_commit = ""
        return "a COMMIT" if self.proxy.done > before else ""

    def _kill(self, processes: list[psutil.Process]) -> str:
        if not processes:
            return ""
        process = self.random.choice(processes)
        process.kill()
        return f"process {process.pid}"

    def _freeze(self, processes: list[psutil.Process]) -> str:
        if not processes:
            return ""
        process = self.random.choice(processes)
        process.suspend()
        self._thaw_later(process)
        return f"process {process.pid}"

    def _thaw_later(self, process: psutil.Process) -> None:
        try:
            self._wait_some()
        finally:
            process.resume()

    def _wait_some(self) -> None:
        self._wait(*(LONG if self.random.random() < LONG_SHARE else SHORT))

    def _wait(self, shortest: float, longest: float) -> None:
        time.sleep(self.random.uniform(shortest, longest))
