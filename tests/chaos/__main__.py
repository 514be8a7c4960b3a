"""One run of the kill test: its verdict on the terminal, its picture as a page. `make chaos`, `make chaos-long`"""

import signal
import sys
import time
from argparse import ArgumentParser
from pathlib import Path

from tests.chaos import report
from tests.chaos.run import run

SHOWN = 40
LONGEST_HOURS = 20  # keys are kept for a day, and are asked for in the end


def main() -> int:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--hours", type=float, help="instead of seconds")
    parser.add_argument(
        "--seed", type=int, default=int(time.time()), help="begins with the wishes and the faults of another run"
    )
    parser.add_argument("--report", type=Path, default=Path("chaos.html"))
    given = parser.parse_args()
    if given.hours and given.hours > LONGEST_HOURS:
        parser.error(f"at most {LONGEST_HOURS} hours: idempotency keys are kept for a day")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to stop"))  # so that nothing is left running
    seconds = given.hours * 3600 if given.hours else given.seconds
    verdict = run(seconds=seconds, seed=given.seed, say=lambda text: print(text, flush=True))
    for finding in verdict.findings[:SHOWN]:
        print(f"BROKEN: {finding}")
    again = f"make chaos SEED={given.seed} SECONDS={seconds:.0f}"
    report.write(verdict, given.report, title="Kill test", command=again)
    print(f"{verdict.summary}\nThe picture is in {given.report}.")
    return bool(verdict.findings or verdict.invalid)


if __name__ == "__main__":
    sys.exit(main())
