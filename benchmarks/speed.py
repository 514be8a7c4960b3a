"""How fast is the shop, beside what the database can do and what an afternoon's service does? `make bench`

Its own PostgreSQL and its own production server, loaded by wrk from outside. The cases are measured in turns, so that
whatever else the machine does happens to all of them. Prints a table and writes it as JSON beside it. `--scale` is
products x warehouses x movements, `--yardstick` the script that measures the idiomatic service (`make bench-compare`).
"""

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from argparse import ArgumentParser
from contextlib import ExitStack
from dataclasses import asdict, astuple, dataclass
from pathlib import Path

import httpx
import psutil

from benchmarks import ROOT, end_of, free_port, migrated_server, production_server, running, server_arguments, workers
from benchmarks.catalogue import Scale, fill
from benchmarks.statements import pgbench, reserve
from shop.local import embedded

ACCOUNT = {"email": "buyer@example.com", "password": "nine lives of a cat"}
LOAD = Path(__file__).parent / "load"


@dataclass(frozen=True)
class Case:
    """What is asked, how many lines of it, by how many clients at once."""

    name: str
    kind: str  # order, check, bare; by pgbench: reserve
    lines: int = 1
    clients: int = 8
    hot: bool = False
    keyed: bool = True
    signed_in: bool = True
    sold_out: float = 0  # the share that asks for what is sold out, and is refused


CASES = [
    Case("checkout, 1 line", "order"),
    Case("checkout, 1 line, no key", "order", keyed=False),
    Case("checkout, 20 lines", "order", lines=20),
    Case("checkout, 100 lines", "order", lines=100),
    Case("checkout, 32 clients, random", "order", clients=32),
    Case("checkout, 32 clients, hot", "order", clients=32, hot=True),
    Case("checkout, a fifth sold out", "order", sold_out=0.2),
    Case("checkout, all sold out", "order", sold_out=1),
    Case("check", "check"),
    Case("check, no token", "check", signed_in=False),
    Case("check, 20 lines", "check", lines=20),
    Case("bare view, one SELECT", "bare"),
    Case("reserve alone, random", "reserve", clients=32),
    Case("reserve alone, hot", "reserve", clients=32, hot=True),
]
# (case, in relation to, target)
TARGETS = [
    ("checkout, 1 line", "idiomatic: order, 1 line", 3.0),
    ("checkout, 20 lines", "idiomatic: order, 20 lines", 12.0),
    ("check", "idiomatic: check", 5.0),
    ("check", "bare view, one SELECT", 0.7),
    ("check, no token", "bare view, one SELECT", 0.7),
    ("checkout, 32 clients, hot", "checkout, 32 clients, random", 0.9),
    ("checkout, all sold out", "checkout, 1 line", 1.0),
    ("reserve alone, hot", "reserve alone, random", 0.5),
]


@dataclass(frozen=True)
class Measured:
    """One turn of one case: requests a second, milliseconds of latency and of CPU for each request."""

    rate: float
    p50: float = 0
    p99: float = 0
    errors: int = 0
    web_cpu: float = 0
    database_cpu: float = 0


class Bench:
    """A filled shop that is up, beside it the bare view, and how each case is measured on them."""

    def __init__(self, url: str, scale: Scale, servers: ExitStack, **shape: int) -> None:
        self.url, self.scale = url, scale
        # Written to a file, as in production; shown when something is wrong.
        self.log = Path(servers.enter_context(tempfile.TemporaryDirectory(prefix="shop-bench-"))) / "log"
        self.shop = servers.enter_context(
            production_server(
                **shape,
                log=self.log,
                # One account buys for all clients; with a limit its checkouts would be one after the other.
                MAX_HELD_UNITS_PER_USER="off",
            )
        )
        self.bare = servers.enter_context(production_server(**shape, application="benchmarks.bare:application"))
        # As in production: it ends the holds that nobody pays for.
        servers.enter_context(running([sys.executable, "manage.py", "work"], log=self.log))
        httpx.post(f"{self.shop}/api/v1/users", json={**ACCOUNT, "name": "Buyer"})  # or there is one already

    def measure(self, case: Case, *, seconds: int) -> Measured:
        return self._pgbench(case, seconds) if case.kind == "reserve" else self._wrk(case, seconds)

    def _wrk(self, case: Case, seconds: int) -> Measured:
        token = httpx.post(f"{self.shop}/api/v1/auth/token", json=ACCOUNT).raise_for_status().json()["access"]
        flags = {
            name: "1"
            for name, is_set in (("HOT", case.hot), ("KEYED", case.keyed), ("SIGNED_IN", case.signed_in))
            if is_set
        }
        environment = {
            **flags,
            "SOLD_OUT": str(case.sold_out),
            "CASE": case.kind,
            "LINES": str(case.lines),
            "PRODUCTS": str(self.scale.products),
        }
        base = self.bare if case.kind == "bare" else self.shop
        before = _cpu(base)
        done = subprocess.run(
            ["wrk", "-t2", f"-c{case.clients}", f"-d{seconds}", "-s", LOAD / "shop.lua", base],
            env={**os.environ, **environment, "TOKEN": token}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        found = re.search(r"RESULT (.*)", done.stdout)
        if not found:
            sys.exit(done.stdout + done.stderr)
        result = json.loads(found[1])
        if result["errors"] and not case.sold_out:
            sys.exit(f"{end_of(self.log)}\n{case.name}: {result['errors']} requests were refused or not answered.")
        web, database = (after - was for after, was in zip(_cpu(base), before, strict=True))
        answered = result.pop("requests")
        return Measured(**result, web_cpu=web * 1000 / answered, database_cpu=database * 1000 / answered)

    def _pgbench(self, case: Case, seconds: int) -> Measured:
        product = "1" if case.hot else f"random(1, {self.scale.products})"
        return Measured(rate=pgbench(self.url, reserve(product), clients=case.clients, seconds=seconds))

    def assert_books_right(self) -> None:
        """What was measured must be what was sold."""
        subprocess.run([sys.executable, "manage.py", "verify_stock"], cwd=ROOT, check=True)

    def idiomatic(self, lines: int, script: Path, seconds: int) -> dict[str, Measured]:
        """Run the yardstick on the same PostgreSQL; return its orders and its checks."""
        _, host, _, user = server_arguments(self.url)
        environment = {"DB_HOST": host, "DB_USER": user, "PORT": str(free_port()), "LINES": str(lines)}
        # Its client programs must be of the server's version.
        path = f"{embedded.BIN}:{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", script], env={**os.environ, **environment, "D": str(seconds), "PATH": path},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        found = dict(re.findall(r"^(orders|check) +RESULT (.*)$", done.stdout, re.MULTILINE))
        if len(found) != 2:
            sys.exit(done.stdout + done.stderr)
        orders, check = _of_yardstick(found["orders"]), _of_yardstick(found["check"])
        if lines == 1:
            return {"idiomatic: order, 1 line": orders, "idiomatic: check": check}
        return {f"idiomatic: order, {lines} lines": orders}


def _of_yardstick(result: str) -> Measured:
    told = dict(pair.split("=") for pair in result.split())
    errors = int(told["status_err"]) + int(told["other_err"])
    return Measured(
        float(told["rps"]), float(told["p50"].removesuffix("ms")), float(told["p99"].removesuffix("ms")), errors
    )


def _cpu(base: str) -> tuple[float, float]:
    """Return the CPU seconds of the workers at this address, and of the processes of PostgreSQL, so far."""
    postgres = [process for process in psutil.process_iter() if process.name().startswith("postgres")]
    return sum(map(_seconds, workers(base))), sum(map(_seconds, postgres))


def _seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0
    return float(times.user + times.system)


def report(turns: dict[str, list[Measured]]) -> None:
    """Print each case's median turn, then each target with the ratio of each turn."""
    print(f"\n{'case':<30}{'a second':>9}{'p50 ms':>8}{'p99 ms':>8}{'web CPU ms':>12}{'database':>9}{'errors':>8}")
    for name, found in turns.items():
        middle = Measured(*(statistics.median(values) for values in zip(*map(astuple, found), strict=True)))
        cells = f"{middle.rate:>9.0f}{middle.p50:>8.1f}{middle.p99:>8.1f}{middle.web_cpu:>12.2f}"
        print(f"{name:<30}{cells}{middle.database_cpu:>9.2f}{sum(turn.errors for turn in found):>8}")
    print(f"\n{'ratio of the rates':<60}{'target':>7}  turns")
    for (name, target), ratios in ratios_of(turns).items():
        listed = "  ".join(f"{ratio:.2f}" for ratio in ratios)
        print(f"{name:<60}{target:>7}  {listed}  median {statistics.median(ratios):.2f}")


def ratios_of(turns: dict[str, list[Measured]]) -> dict[tuple[str, float], list[float]]:
    """Return for each target that was measured the ratio of each turn."""
    return {
        (f"{name} / {other}", target): [
            ours.rate / theirs.rate for ours, theirs in zip(turns[name], turns[other], strict=True)
        ]
        for name, other, target in TARGETS
        if name in turns and other in turns
    }


def main(scale: Scale, seconds: int, rounds: int, yardstick: Path | None, only: str, output: Path) -> None:
    if not shutil.which("wrk"):
        sys.exit("The load comes from wrk, which is not here; install it (Debian, Homebrew: the package wrk).")
    cases = [case for case in CASES if only in case.name]
    turns: dict[str, list[Measured]] = {}
    with migrated_server() as url, ExitStack() as servers:
        print(f"{scale}; {rounds} turns of {seconds} s for each case", flush=True)
        fill(url, scale)
        bench = Bench(url, scale, servers)
        for case in cases:  # nobody's first steps count
            bench.measure(case, seconds=1)
        for turn in range(1, rounds + 1):
            for case in cases:
                turns.setdefault(case.name, []).append(bench.measure(case, seconds=seconds))
                print(f"  turn {turn}: {case.name:<30}{turns[case.name][-1].rate:>8.0f} a second", flush=True)
            for lines in (1, 20) if yardstick else ():
                for name, measured in bench.idiomatic(lines, yardstick, seconds).items():
                    turns.setdefault(name, []).append(measured)
                    print(f"  turn {turn}: {name:<30}{measured.rate:>8.0f} a second", flush=True)
        bench.assert_books_right()
    report(turns)
    written = {
        "scale": asdict(scale),
        "seconds": seconds,
        "turns": {name: [asdict(turn) for turn in found] for name, found in turns.items()},
        "ratios": [
            {"of": name, "target": target, "turns": ratios} for (name, target), ratios in ratios_of(turns).items()
        ],
    }
    output.write_text(json.dumps(written, indent=1))
    print(f"\nEach turn is in {output}.")


def scale_of(text: str) -> Scale:
    return Scale(*(int(part) for part in text.split("x")))


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=scale_of, default=Scale(), metavar="PRODUCTSxWAREHOUSESxMOVEMENTS")
    parser.add_argument("--seconds", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="cases that have this in their name")
    parser.add_argument("--yardstick", type=Path, help="the script that measures the idiomatic service")
    parser.add_argument("--output", type=Path, default=ROOT / "bench.json")
    given = parser.parse_args()
    main(given.scale, given.seconds, given.rounds, given.yardstick, given.only, given.output)
