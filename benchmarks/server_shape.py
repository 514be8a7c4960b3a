"""How many workers, and how many threads in each, serve best on this machine? `make bench-server`

Each shape in turns, on one database, by the cases of `make bench` where waiting and computing compete.
"""

import statistics
from contextlib import ExitStack

from benchmarks import migrated_server
from benchmarks.catalogue import Scale, fill
from benchmarks.speed import CASES, Bench, Measured

SHAPES = [(2, 1), (2, 2), (2, 4), (3, 1), (4, 1)]
NAMES = ("checkout, 1 line", "checkout, 32 clients, random", "checkout, 32 clients, hot", "check")
ROUNDS, SECONDS = 4, 4


def main() -> None:
    cases = [case for case in CASES if case.name in NAMES]
    found: dict[tuple[int, int], dict[str, list[Measured]]] = {}
    with migrated_server() as url:
        fill(url, Scale())
        for turn in range(1, ROUNDS + 1):
            for shape in SHAPES:
                with ExitStack() as servers:
                    bench = Bench(url, Scale(), servers, workers=shape[0], threads=shape[1])
                    for case in cases:
                        bench.measure(case, seconds=1)
                        measured = bench.measure(case, seconds=SECONDS)
                        found.setdefault(shape, {}).setdefault(case.name, []).append(measured)
            print(f"turn {turn} of {ROUNDS}", flush=True)
    for name in (case.name for case in cases):
        print(f"\n{name}")
        for (workers, threads), by_name in found.items():
            rate = statistics.median(turn.rate for turn in by_name[name])
            p99 = statistics.median(turn.p99 for turn in by_name[name])
            cpu = statistics.median(turn.web_cpu for turn in by_name[name])
            base = statistics.median(turn.rate for turn in found[SHAPES[0]][name])
            shape = f"{workers} workers x {threads} threads"
            print(f"  {shape:<24}{rate / base:5.2f} x   p99 {p99:6.1f} ms   web CPU {cpu:5.2f} ms")


if __name__ == "__main__":
    main()
