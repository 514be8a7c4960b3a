"""A drill on one machine: a shop, the kill test's clients and verifier, and whatever an operator does meanwhile."""

import shutil
import signal
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path

from tests.chaos import report
from tests.chaos.database import database
from tests.chaos.run import Faults, Verdict, trial
from tests.chaos.site import Site, running
from tests.drills.failover import without_writes

OVERTIME = 120
SHOWN = 40


def main(description: str, nemesis: Callable[[Site, int], Faults], *, title: str, command: str) -> int:
    """Run a drill from the command line; its exit code tells whether a promise was broken."""
    parser = ArgumentParser(description=description)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--report", type=Path, default=Path("drill.html"))
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to stop"))  # so that nothing is left running
    verdict = drill(nemesis, seconds=given.seconds, seed=given.seed)
    for finding in verdict.findings[:SHOWN]:
        print(f"BROKEN: {finding}")
    print("\n".join(table(verdict)))
    report.write(verdict, given.report, title=title, command=f"{command} SECONDS={given.seconds:.0f}")
    print(f"{verdict.summary}\nThe picture is in {given.report}.")
    return bool(verdict.findings or verdict.invalid)


def drill(nemesis: Callable[[Site, int], Faults], *, seconds: float, seed: int) -> Verdict:
    """Start a shop, let clients and operator loose on it, and judge what came of it."""
    folder = Path(tempfile.mkdtemp(prefix="shop-drill-"))
    folder.chmod(0o711)  # where root runs this, PostgreSQL's account passes through
    with database(folder) as postgres:
        shop = Site(folder, postgres)
        with running(shop):
            verdict = trial(shop, nemesis(shop, seed), seconds=seconds, overtime=OVERTIME, seed=seed, say=_say)
    verdict.fewest = 1
    if verdict.findings or verdict.invalid:
        _say(f"Journals and logs are in {folder}.")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return verdict


def table(verdict: Verdict) -> list[str]:
    """Return what each kind of step took, and the longest that no client's write was done meanwhile."""
    entries = list(verdict.entries.values())
    attempts = [attempt for entry in entries for attempt in entry.attempts]
    lines = [f"{'step':<24}{'times':>6}{'seconds':>9}{'no write for':>14}{'attempts':>10}{'unanswered':>12}"]
    for kind in sorted({fault.kind for fault in verdict.faults}):
        found = [fault for fault in verdict.faults if fault.kind == kind]
        longest = max(fault.ended - fault.began for fault in found)
        gap = max(without_writes(entries, fault, max(fault.ended, fault.began + 1)) for fault in found)
        sent = [one for fault in found for one in attempts if fault.began <= one.sent <= fault.ended]
        unanswered = sum(not one.is_decided for one in sent)
        lines.append(f"{kind:<24}{len(found):>6}{longest:>9.1f}{gap:>12.1f} s{len(sent):>10}{unanswered:>12}")
    return lines


def _say(text: str) -> None:
    print(text, flush=True)
