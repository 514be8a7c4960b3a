"""Let clients be slow, by the hundred: how long does anybody else wait? `make drill-slow`

At the bare server, and through the proxy of compose.yaml with the configuration that is shipped.
"""

import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

import httpx

from benchmarks import migrated_server, production_server
from benchmarks.catalogue import Scale, fill
from tests.drills import proxy
from tests.slow_clients import PATIENCE_SECONDS, slow_clients, slowest, unverified

LIMIT_SECONDS = 1.0
MEASURED_SECONDS = 3.0  # for each of the three that are asked
IDLE = 1100
BUYER = {"email": "buyer@example.com", "password": "nine lives of a cat"}


@dataclass(frozen=True)
class Trial:
    """Clients of one kind, and whether nobody else may wait for them."""

    kind: str
    count: int
    is_promised: bool = True


KINDS = ("body", "chunked body", "header", "reader")
AT_THE_PROXY = [*(Trial(kind, 200) for kind in KINDS), Trial("idle", IDLE), Trial("body", 600)]
AT_THE_SERVER = [
    *(Trial(kind, count) for kind in KINDS for count in (8, 60, 200)),
    Trial("idle", IDLE),
    Trial("body", 600, is_promised=False),  # more than it has threads: that is what the proxy is for
]


def main() -> int:
    """Try every kind, print a table, and return 1 when somebody waited too long."""
    if not proxy.program():
        sys.exit(proxy.MISSING)
    broken = 0
    print("The slowest answer to others, in seconds, from a new connection each time:")
    with migrated_server() as url, ExitStack() as servers:
        fill(url, Scale())
        server = servers.enter_context(production_server(TRUSTED_PROXIES="1", MAX_HELD_UNITS_PER_USER="off"))
        httpx.post(f"{server}/api/v1/users", json={**BUYER, "name": "Buyer"}).raise_for_status()
        behind, _ = servers.enter_context(proxy.proxied(server))
        print(f"{'clients':<20}{'at':<8}{''.join(f'{name:>10}' for name in requests(server))}", flush=True)
        for place, base, trials in (("proxy", behind, AT_THE_PROXY), ("server", server, AT_THE_SERVER)):
            for trial in trials:
                broken += not holds(place, base, trial)
    print(f"{broken} of the promises are broken." if broken else "No promise is broken.")
    return bool(broken)


def requests(base: str) -> dict[str, Callable[[], httpx.Response]]:
    """Return what the others ask, by its name."""
    common = {"verify": unverified(), "timeout": PATIENCE_SECONDS}
    token = httpx.post(f"{base}/api/v1/auth/token", json=BUYER, **common).raise_for_status().json()["access"]
    order = {"items": [{"product_id": 7, "quantity": 1}]}
    headers = {"authorization": f"Bearer {token}"}
    return {
        "healthz": lambda: httpx.get(f"{base}/healthz", **common),
        "check": lambda: httpx.get(f"{base}/api/v1/inventory/check?product_id=7", **common),
        "checkout": lambda: httpx.post(f"{base}/api/v1/orders", json=order, headers=headers, **common),
    }


def holds(place: str, base: str, trial: Trial) -> bool:
    """Measure one trial, print its line, and tell whether the promise was kept."""
    asked = requests(base)
    with slow_clients(base, trial.kind, trial.count):
        times = [slowest(ask, seconds=MEASURED_SECONDS) for ask in asked.values()]
    kept = max(times) < LIMIT_SECONDS
    said = "" if kept else "  BROKEN" if trial.is_promised else "  not promised"
    cells = "".join(f"{took:>10.3f}" for took in times)
    print(f"{f'{trial.count:,} x {trial.kind}':<20}{place:<8}{cells}{said}", flush=True)
    return kept or not trial.is_promised


if __name__ == "__main__":
    sys.exit(main())
