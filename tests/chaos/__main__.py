"""One run of the kill test: its verdict on the terminal, its picture as a page. `make chaos`, `make chaos-long`"""

import sys
import time
from argparse import ArgumentParser
from pathlib import Path

from tests.chaos import report
from tests.chaos.run import run

SHOWN = 40


def main() -> int:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--hours", type=float, help="instead of seconds")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="repeats the faults and the wishes of a run")
    parser.add_argument("--report", type=Path, default=Path("chaos.html"))
    given = parser.parse_args()
    seconds = given.hours * 3600 if given.hours else given.seconds
    verdict = run(seconds=seconds, seed=given.seed, say=lambda text: print(text, flush=True))
    for finding in verdict.findings[:SHOWN]:
        print(f"BROKEN: {finding}")
    report.write(verdict, given.report)
    print(f"{verdict.summary}\nThe picture is in {given.report}.")
    return bool(verdict.findings or verdict.invalid)


if __name__ == "__main__":
    sys.exit(main())
