"""`make mutants`: plants each bug, runs the kill test until it is found, and prints the score."""

import sys
import time
from argparse import ArgumentParser

from tests.chaos.mutants import MUTANTS
from tests.chaos.run import run

RUNS = (10, 20, 60)  # seconds; a bug that needs luck gets more time
GUARDS = "verify_stock: guard_"  # sees that a guard is gone, not what comes of it: that is looked for first


def main() -> int:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(MUTANTS), help="of the bugs; all of them without")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    given = parser.parse_args()
    caught = {name: _hunt(name, given.seed) for name in given.names}
    print(f"\n{'bug':<26}{'found after':>12}  by")
    for name, (seconds, finding) in caught.items():
        print(f"{name:<26}{f'{seconds:.0f} s' if finding else 'NOT FOUND':>12}  {finding[:110]}")
    found = sum(bool(finding) for _, finding in caught.values())
    print(f"Score: {found} of {len(caught)}")
    return found != len(caught)


def _hunt(name: str, seed: int) -> tuple[float, str]:
    """Return after how many seconds a bug was found, starting the shop included, and by what; nothing if it was not."""
    began = time.monotonic()
    for number, seconds in enumerate(RUNS):
        print(f"{name}: {MUTANTS[name].what} ({seconds} s)", flush=True)
        findings = run(seconds=seconds, seed=seed + number, mutant=name, say=lambda text: None).findings
        by_effect = [finding for finding in findings if not finding.startswith(GUARDS)]
        if by_effect:
            print(f"  found by {len(by_effect)} sentences, the first: {by_effect[0]}", flush=True)
            return time.monotonic() - began, by_effect[0]
    return time.monotonic() - began, next(iter(findings), "")


if __name__ == "__main__":
    sys.exit(main())
