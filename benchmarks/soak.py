"""Does a web worker keep its memory over 100,000 requests? `make bench-soak`"""

import sys
from contextlib import ExitStack

from benchmarks import migrated_server, workers
from benchmarks.catalogue import Scale, fill
from benchmarks.speed import CASES, Bench

REQUESTS, SECONDS = 100_000, 5
AT_MOST = 1.1  # of their memory after the first turn of all cases
NAMES = ("check", "checkout, 1 line", "check, 20 lines", "checkout, 20 lines")


def main() -> None:
    cases = [case for case in CASES if case.name in NAMES]
    with migrated_server() as url, ExitStack() as servers:
        fill(url, Scale())
        bench = Bench(url, Scale(), servers)
        sent, turn = 0.0, 0
        first: list[float] = []
        while sent < REQUESTS:
            case = cases[turn % len(cases)]
            sent, turn = sent + bench.measure(case, seconds=SECONDS).rate * SECONDS, turn + 1
            if turn % len(cases) == 0:
                memory = [process.memory_info().rss / 1e6 for process in workers(bench.shop)]
                first = first or memory
                print(
                    f"{sent:>9,.0f} requests: workers of {', '.join(f'{size:.1f}' for size in memory)} MB", flush=True
                )
        bench.assert_books_right()
    if max(memory) > max(first) * AT_MOST:
        sys.exit("The workers grow.")


if __name__ == "__main__":
    main()
