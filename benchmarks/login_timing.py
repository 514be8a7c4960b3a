"""Does the time of a login tell whether there is such an account? `make bench-login`

200 known addresses and 200 unknown ones, in turns, with a wrong password, against the production server.
"""

import random
import statistics
import time

import httpx

from benchmarks import migrated_server, production_server

ACCOUNTS = 200


def main() -> None:
    import django

    django.setup()
    from users.models import User

    for number in range(ACCOUNTS):
        User.objects.create_user(f"user{number}@example.com", "nine lives of a cat")
    with production_server(workers=1, threads=2, THROTTLE_LOGIN="1000000/m") as base:
        report(measure(base))


def measure(base: str) -> dict[str, list[float]]:
    """Return the milliseconds of each login, known and unknown in turns."""
    taken: dict[str, list[float]] = {"known": [], "unknown": []}
    with httpx.Client(base_url=base) as client:
        for number in range(ACCOUNTS):
            turns = [("known", f"user{number}@example.com"), ("unknown", f"user{number}@example.net")]
            for which, email in random.sample(turns, 2):
                started = time.perf_counter()
                answer = client.post("/api/v1/auth/token", json={"email": email, "password": "wrong"})
                taken[which].append((time.perf_counter() - started) * 1000)
                assert answer.status_code == 401
    return taken


def report(taken: dict[str, list[float]]) -> None:
    known, unknown, half = taken["known"], taken["unknown"], ACCOUNTS // 2
    for which, found in taken.items():
        low, middle, high = statistics.quantiles(found, n=4)
        print(f"{which:<8} median {middle:6.1f} ms, quartiles {low:.1f} to {high:.1f}")
    print(f"known to unknown: {statistics.median(known) / statistics.median(unknown):.3f}")
    print(f"first half of the known to their second half: "
          f"{statistics.median(known[:half]) / statistics.median(known[half:]):.3f}")  # fmt: skip


if __name__ == "__main__":
    with migrated_server():
        main()
