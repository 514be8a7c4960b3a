"""Do registrations stop the sale? `make bench-register`

The median time of a check alone, and while 64 clients register as fast as they may, against the production server.
A client that is told to wait does so; those that do not wait are measured as well, for what a crowd of answers costs.
"""

import itertools
import statistics
import threading
import time
from collections import Counter

import httpx

from benchmarks import migrated_server, production_server

CLIENTS, SECONDS = 64, 10
CHECK = "/api/v1/inventory/check?product_id=1"
GIVES_UP_AFTER = 20  # seconds
_numbers = itertools.count()


def main() -> None:
    import django

    django.setup()
    from tests import factories

    factories.product(sku="MUG", stock=1000)
    for waits, limit in ((True, "off"), (False, "off"), (False, "100/15m")):
        with production_server(THROTTLE_REGISTER=limit) as base:
            report(waits, limit, *measure(base, waits=waits))


def measure(base: str, *, waits: bool) -> tuple[list[float], list[float], Counter[int]]:
    """Return the milliseconds of each check without and with a crowd, and what the crowd was answered."""
    check(base, seconds=1)  # the first ones load what all of them need
    alone = check(base, seconds=SECONDS)
    stop, answers = threading.Event(), Counter[int]()
    crowd = [threading.Thread(target=register, args=[base, stop, answers, waits]) for _ in range(CLIENTS)]
    for one in crowd:
        one.start()
    time.sleep(1)
    beside = check(base, seconds=SECONDS)
    stop.set()
    for one in crowd:
        one.join()
    return alone, beside, answers


def check(base: str, *, seconds: float) -> list[float]:
    """Check one product again and again; return the milliseconds of each, as long as one gives up where none comes."""
    taken, end = [], time.monotonic() + seconds
    with httpx.Client(base_url=base, timeout=GIVES_UP_AFTER) as client:
        while time.monotonic() < end:
            started = time.perf_counter()
            try:
                client.get(CHECK).raise_for_status()
            except httpx.TransportError:
                print("A check was not answered.")
            taken.append((time.perf_counter() - started) * 1000)
            time.sleep(0.02)
    return taken


def register(base: str, stop: threading.Event, answers: "Counter[int]", waits: bool) -> None:
    with httpx.Client(base_url=base, timeout=60) as client:
        while not stop.is_set():
            body = {"email": f"new{next(_numbers)}@example.com", "password": "nine lives of a cat", "name": "New"}
            try:
                answer = client.post("/api/v1/users", json=body)
            except httpx.TransportError:
                answers[0] += 1
                continue
            answers[answer.status_code] += 1
            if waits:
                stop.wait(float(answer.headers.get("Retry-After", 0)))


def report(waits: bool, limit: str, alone: list[float], beside: list[float], answers: "Counter[int]") -> None:
    who = "who wait when they are told to" if waits else "who do not wait"
    told = ", ".join(f"{count} x {status or 'no answer'}" for status, count in sorted(answers.items()))
    before, after = statistics.median(alone), statistics.median(beside)
    print(f"{CLIENTS} clients {who}, THROTTLE_REGISTER={limit}: {told}")
    print(f"  median check alone {before:.1f} ms ({len(alone)}), beside them {after:.1f} ms ({len(beside)}), "
          f"ratio {after / before:.2f}")  # fmt: skip


if __name__ == "__main__":
    with migrated_server():
        main()
