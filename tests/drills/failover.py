"""Lose the primary while the shop is at work, again and again: how long can nobody write, and is anything lost?

`make drill-failover`. The shop's servers find the primary by themselves: all nodes are in DATABASE_URL. With
`--asynchronous` commits wait for no second node, and the drill must find what is lost then.
"""

import itertools
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from argparse import ArgumentParser
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import psutil
import psycopg

from tests.chaos import journal, report
from tests.chaos.database import send
from tests.chaos.journal import Entry
from tests.chaos.judge import RECOVERY_SECONDS, name_of
from tests.chaos.nemesis import Fault
from tests.chaos.run import Verdict, trial
from tests.chaos.site import Site, running
from tests.drills.cluster import HEAL_SECONDS, TTL, Cluster, Missing, Node, cluster, until_true

CALM = (3, 6)  # seconds of undisturbed work after each fault
# Longer than a leader may be silent, and than everybody else may then take to go on without it.
FROZEN_SECONDS = TTL + RECOVERY_SECONDS + 15
SILENT_SECONDS = TTL + 10
# Longer than the shop waits for anything: a commit that the second node has not must not be acknowledged for that.
BEHIND_SECONDS = 8
WATCHED_SECONDS = 10  # how long an old primary is watched when it is back
OVERTIME = 120  # seconds at most for each fault
SHOWN = 40
PROBE = "failover_probe"
CANCEL = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
KEYS = "SELECT key FROM toolkit_idempotencykey WHERE status IS NOT NULL"


@dataclass(frozen=True)
class Failover(Fault):
    """A fault that another node had to lead after; `led` tells after how many seconds it did."""

    led: float


class Nemesis:
    """Does each planned fault to a cluster, in an order that the seed decides, and waits until it has healed."""

    def __init__(self, site: Site, cluster: Cluster, *, kills: int, seed: int) -> None:
        self.site, self.cluster, self.random = site, cluster, random.Random(seed)
        kinds = {
            "kill_primary": self.kill_primary,
            "kill_primary_behind": self.kill_primary_behind,
            "cancel_commits": self.cancel_commits,
            "switch_over": self.switch_over,
            "freeze_primary": self.freeze_primary,
            "freeze_keeper": self.freeze_keeper,
        }
        self.plan: list[Callable[[], Failover]] = [*kinds.values(), *[self.kill_primary] * (kills - 1)]
        self.random.shuffle(self.plan)
        self.planned = set(kinds)
        self.done: list[Fault] = []
        self.findings: list[str] = []
        self.numbers = itertools.count(1)
        self.probes: dict[int, str] = {}  # what a node acknowledged that led no more, as far as anybody knew
        self.acknowledged = 0
        self.lost: list[Entry] = []

    @property
    def missing(self) -> list[str]:
        """The kinds of faults that never came to pass."""
        return sorted(self.planned - {fault.kind for fault in self.done})

    def tell(self, say: Callable[[str], None]) -> None:
        """Say what was lost: of what was acknowledged, what the database does not know. Nothing was asked since."""
        entries = journal.read(sorted(self.site.folder.glob("*.journal"))).values()
        done = [entry for entry in entries if entry.operation.writes and entry.is_done]
        with psycopg.connect(self.cluster.url) as connection:
            known = {key for (key,) in connection.execute(KEYS)}
        with psycopg.connect(self.cluster.url_of(self.cluster.await_leader())) as connection:
            there = {number for (number,) in connection.execute(f"SELECT id FROM {PROBE}")}
        for name, times in Counter(name for number, name in self.probes.items() if number not in there).items():
            self.findings.append(f"Node {name} acknowledged {times} writes after another node had begun to lead")
        self.acknowledged = len(done)
        self.lost = [entry for entry in done if entry.operation.key not in known]
        self.findings += [f"{name_of(entry)} was acknowledged and is lost" for entry in self.lost]
        say(f"{self.acknowledged} writes acknowledged, {len(self.lost)} of them lost")

    def run(self, until: float) -> None:
        """Do all that is planned, then let the shop work until that time. Raises TimeoutError."""
        with psycopg.connect(self.cluster.url_of(self.cluster.await_leader()), autocommit=True) as connection:
            connection.execute(f"CREATE TABLE {PROBE} (id int)")
        self._calm_down()
        for fault in self.plan:
            self.done.append(fault())
            self.cluster.await_health()
            self.site.await_ready()
            self._calm_down()
        while time.time() < until:
            self._calm_down()

    def kill_primary(self) -> Failover:
        """Kill -9 PostgreSQL and Patroni of the primary at once, and start them again when somebody else leads."""
        return self._kill("kill_primary", self.cluster.await_leader(), time.time())

    def kill_primary_behind(self) -> Failover:
        """The same to a primary that could not send anything to the others for some seconds before."""
        return self._kill_behind("kill_primary_behind", cancels=False)

    def cancel_commits(self) -> Failover:
        """The same, while somebody cancels what hangs: PostgreSQL then says COMMIT, and warns that it is here alone."""
        return self._kill_behind("cancel_commits", cancels=True)

    def _kill_behind(self, kind: str, *, cancels: bool) -> Failover:
        leader, began = self.cluster.await_leader(), time.time()
        with psycopg.connect(self.cluster.url_of(leader), autocommit=True) as connection:
            send(signal.SIGSTOP, leader.walsenders())
            for _ in range(BEHIND_SECONDS):
                time.sleep(1)
                if cancels:
                    connection.execute(CANCEL)
        return self._kill(kind, leader, began)

    def _kill(self, kind: str, leader: Node, began: float) -> Failover:
        leader.kill()
        try:
            found = self._failover(kind, leader, began)
            self._await_write(found.ended)
        finally:
            leader.start()
        return found

    def switch_over(self) -> Failover:
        """Have another node lead, in good order, as before maintenance."""
        leader, began = self.cluster.await_leader(), time.time()
        self.cluster.switch_over(leader)
        return self._failover("switch_over", leader, began)

    def freeze_primary(self) -> Failover:
        """Stop everything of the primary; whoever waits for its answer must not wait until it is back."""
        leader = self.cluster.await_leader()
        return self._freeze("freeze_primary", leader, leader.processes(), FROZEN_SECONDS)

    def freeze_keeper(self) -> Failover:
        """Stop the primary's Patroni alone: its PostgreSQL does not hear that somebody else leads now.

        Nobody can write while it does not: it is still there for whoever finds it first. That takes a watchdog, which
        ends a machine whose Patroni is silent.
        """
        leader = self.cluster.await_leader()
        found = self._freeze("freeze_keeper", leader, leader.keepers(), SILENT_SECONDS)
        return replace(found, ended=found.began + SILENT_SECONDS)

    def _freeze(self, kind: str, leader: Node, processes: Sequence[psutil.Process], seconds: float) -> Failover:
        began = time.time()
        send(signal.SIGSTOP, processes)
        try:
            found = self._failover(kind, leader, began)
            watch = threading.Thread(target=self._watch, args=[leader, began + seconds + WATCHED_SECONDS], daemon=True)
            watch.start()
            time.sleep(max(0, began + seconds - time.time()))
        finally:
            send(signal.SIGCONT, processes)
        watch.join()
        return found

    def _failover(self, kind: str, leader: Node, began: float) -> Failover:
        new = self.cluster.await_leader(other_than=leader)
        ended = time.time()
        return Failover(kind, began, ended, f"{leader.name} led, {new.name} leads", ended - began)

    def _watch(self, old: Node, until: float) -> None:
        """Write where somebody else leads by now, and note what is acknowledged there."""
        while time.time() < until:
            warned: list[str] = []
            number = next(self.numbers)
            with suppress(psycopg.Error), psycopg.connect(self.cluster.url_of(old), autocommit=True) as connection:
                connection.add_notice_handler(lambda notice, warned=warned: warned.append(notice.message_primary))
                connection.execute(f"INSERT INTO {PROBE} VALUES (%s)", [number])
                if not warned:  # that nobody else has it
                    self.probes[number] = old.name
            time.sleep(0.1)

    def _await_write(self, since: float) -> None:
        """Wait until a client was told of success. Raises TimeoutError."""
        until_true(
            lambda: any(journal.last_success(path) > since for path in self.site.folder.glob("*.journal")),
            HEAL_SECONDS,
            "nobody could write again",
        )

    def _calm_down(self) -> None:
        time.sleep(self.random.uniform(*CALM))
        self.site.keep_up()


def drill(
    *, seconds: float, kills: int, seed: int, synchronous: bool, say: Callable[[str], None]
) -> tuple[Verdict, Nemesis]:
    """Start a cluster and a shop on it, do all faults, and judge what came of it. Raises Missing, TimeoutError."""
    folder = Path(tempfile.mkdtemp(prefix="shop-drill-"))
    folder.chmod(0o711)  # where root runs this, PostgreSQL's account passes through
    is_kept = False
    try:
        with cluster(folder, synchronous=synchronous) as nodes:
            shop = Site(folder, nodes, DATABASE_REPLICA_URL=nodes.replica_url)
            with running(shop):
                nemesis = Nemesis(shop, nodes, kills=kills, seed=seed)
                overtime = OVERTIME * len(nemesis.plan)
                verdict = trial(shop, nemesis, seconds=seconds, overtime=overtime, seed=seed, say=say)
        verdict.findings[:0] = nemesis.findings
        verdict.fewest = len(nemesis.plan)
        is_kept = synchronous and bool(verdict.findings or verdict.invalid)
    except TimeoutError:
        is_kept = True
        raise
    finally:
        if is_kept:
            say(f"Journals and logs are in {folder}.")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return verdict, nemesis


def without_writes(entries: Sequence[Entry], fault: Fault, until: float) -> float:
    """Return the longest time between a fault and the next in which nobody was told of a write that was done."""
    moments = sorted(
        attempt.got
        for entry in entries
        if entry.operation.writes
        for attempt in entry.attempts
        if attempt.is_done and not attempt.replayed
    )
    moments = [fault.began, *(moment for moment in moments if fault.began < moment < until), until]
    return max(after - before for before, after in pairwise(moments))


def table(verdict: Verdict, lost: Sequence[Entry]) -> list[str]:
    """Return what each fault cost, a line each."""
    entries = list(verdict.entries.values())
    ends = [*(fault.began for fault in verdict.faults[1:]), verdict.ended]
    # The last that was acknowledged before a fault is lost by that too; nobody disturbs the seconds before.
    begins = [fault.began - 1 for fault in verdict.faults]
    by_fault = Counter(bisect_right(begins, entry.answers[0].got) - 1 for entry in lost)
    return [f"{'fault':<22}{'new leader after':>18}{'no write for':>15}{'lost':>7}  what"] + [
        f"{fault.kind:<22}{fault.led:>16.1f} s{without_writes(entries, fault, until):>13.1f} s{by_fault[number]:>7}"
        f"  {fault.what}"
        for number, (fault, until) in enumerate(zip(verdict.faults, ends, strict=True))
    ]


def main() -> int:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=120, help="at least; each fault is waited for")
    parser.add_argument("--kills", type=int, default=3, help="of a primary that the others have followed")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="decides on the order of the faults")
    parser.add_argument("--asynchronous", action="store_true", help="see that what is then lost is found")
    parser.add_argument("--report", type=Path, default=Path("failover.html"))
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to stop"))  # so that nothing is left running
    try:
        verdict, nemesis = drill(
            seconds=given.seconds, kills=given.kills, seed=given.seed, synchronous=not given.asynchronous,
            say=lambda text: print(text, flush=True),
        )  # fmt: skip
    except (Missing, TimeoutError) as problem:
        sys.exit(str(problem))
    for finding in verdict.findings[:SHOWN]:
        print(f"BROKEN: {finding}")
    print("\n".join(table(verdict, nemesis.lost)))
    orders = sum(entry.operation.kind == "checkout" and entry.is_done for entry in verdict.entries.values())
    print(f"{nemesis.acknowledged} writes acknowledged, {orders} of them orders; {len(nemesis.lost)} lost.")
    again = f"make drill-failover SEED={given.seed} SECONDS={given.seconds:.0f} KILLS={given.kills}"
    report.write(verdict, given.report, title="Failover drill", command=again)
    print(f"{verdict.summary}\nThe picture is in {given.report}.")
    if given.asynchronous:
        # By the verifier too, not only by those who compare the keys.
        is_found = nemesis.lost and len(verdict.findings) > len(nemesis.findings)
        print("What was lost was found, as it must be." if is_found else "NOTHING WAS FOUND: the drill proves nothing.")
        return not is_found
    return bool(verdict.findings or verdict.invalid)


if __name__ == "__main__":
    sys.exit(main())
