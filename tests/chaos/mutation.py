"""`make mutants`: plants each bug, runs the kill test until it is found, and prints the score."""

import signal
import sys
import time
from argparse import ArgumentParser

from tests.chaos.mutants import MUTANTS
from tests.chaos.run import run

RUNS = (15, 30, 60)  # seconds; a bug that needs luck gets more time
GUARDS = "verify_stock: guard_"  # sees that a guard is gone, not what comes of it: what comes of it must be found


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to stop"))
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(MUTANTS), help="of the bugs; all of them without")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    given = parser.parse_args()
    # Without a bug, nothing may be found: what finds something in a sound shop finds bugs for free.
    control = _findings("", RUNS[0], given.seed)
    caught = {} if control else {name: _hunt(name, given.seed) for name in given.names}
    print(f"\n{'bug':<26}{'found after':>12}  by")
    for name, (seconds, finding) in caught.items():
        print(f"{name:<26}{f'{seconds:.0f} s' if finding else 'NOT FOUND':>12}  {finding[:110]}")
    found = sum(bool(finding) for _, finding in caught.values())
    print(f"Without a bug: {len(control)} findings {control[:3] or ''}\nScore: {found} of {len(given.names)}")
    return found != len(given.names)


def _hunt(name: str, seed: int) -> tuple[float, str]:
    """Return after how many seconds a bug was found, starting the shop included, and by what; nothing if it was not."""
    began = time.monotonic()
    for number, seconds in enumerate(RUNS):
        if findings := _findings(name, seconds, seed + number):
            return time.monotonic() - began, findings[0]
    return time.monotonic() - began, ""


def _findings(name: str, seconds: float, seed: int) -> list[str]:
    print(f"{name or 'no bug'}: {MUTANTS[name].what if name else 'the shop as it is'} ({seconds} s)", flush=True)
    found = run(seconds=seconds, seed=seed, mutant=name, say=lambda text: None).findings
    by_effect = [finding for finding in found if not finding.startswith(GUARDS)]
    if by_effect:
        print(f"  {len(by_effect)} findings, the first: {by_effect[0]}", flush=True)
    return by_effect


if __name__ == "__main__":
    sys.exit(main())
