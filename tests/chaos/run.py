"""One run: a shop, clients, faults, and the verdict."""

import http.client
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos import journal
from tests.chaos.clients import API, Config, sign_in
from tests.chaos.nemesis import Fault, Nemesis
from tests.chaos.site import ROOT, STAFF, Site, site
from tests.chaos.verifier import Verifier

BUYERS, CLERKS = 6, 2
PRODUCTS, UNITS = 30, 400
HOT, HOT_UNITS = 3, 10
WAREHOUSES = ["MAIN", "EAST", "WEST"]
END_SECONDS = 60  # for the clients to come to an end after the last fault
FEWEST_FAULTS, FEWEST_KINDS = 20, 8


@dataclass
class Verdict:
    """What a run found, and what it consisted of."""

    seed: int
    began: float
    ended: float
    faults: list[Fault]
    missing: list[str]  # kinds of faults that never came to pass
    entries: dict[str, journal.Entry]
    findings: list[str] = field(default_factory=list)

    @property
    def invalid(self) -> str:
        """Why the run proves nothing; empty when it does."""
        if self.missing:
            return f"no fault of these kinds came to pass: {', '.join(self.missing)}"
        if len(self.faults) < FEWEST_FAULTS:
            return f"{len(self.faults)} faults are fewer than {FEWEST_FAULTS}"
        return ""

    @property
    def summary(self) -> str:
        kinds = len({fault.kind for fault in self.faults})
        writes = [entry for entry in self.entries.values() if entry.operation.writes]
        done = sum(entry.is_done for entry in writes)
        attempts = [attempt for entry in writes for attempt in entry.attempts]
        unknown = sum(not attempt.is_decided for attempt in attempts)
        verdict = f"NOT VALID: {self.invalid}" if self.invalid else f"{len(self.findings)} promises broken"
        return (
            f"{verdict}. {self.ended - self.began:.0f} s, seed {self.seed}, "
            f"{len(self.faults)} faults of {kinds} kinds, "
            f"{len(writes)} writes asked, {done} done, {len(attempts)} attempts, {unknown} of them of unknown fate."
        )


def run(*, seconds: float, seed: int, mutant: str = "", say: Callable[[str], None] = print) -> Verdict:
    """Start a shop, let clients and faults loose on it for so long, and judge what came of it."""
    folder = Path(tempfile.mkdtemp(prefix="shop-chaos-"))
    with site(folder, mutant=mutant) as shop:
        config, initial = _furnish(shop, seconds, bug=mutant)
        say(f"The shop is up; {BUYERS} buyers, {CLERKS} clerks, seed {seed}, {seconds:.0f} s")
        began = time.time()
        clients = _start_clients(shop, config, seed)
        nemesis = Nemesis(shop, seed)
        nemesis.run(config.until)
        shop.await_ready()
        for client in clients:
            _end(client, shop)
        say(", ".join(f"{kind} {count}" for kind, count in sorted(nemesis.counts.items())))
        entries = journal.read(sorted(folder.glob("*.journal")))
        missing = [kind for kind, count in nemesis.counts.items() if not count]
        verdict = Verdict(seed, began, config.until, nemesis.done, missing, entries)
        verdict.findings = Verifier(shop, entries, nemesis.done, initial, seed).run(say)
    if verdict.findings and not mutant:
        say(f"Journals and logs are left in {folder}.")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return verdict


def _furnish(shop: Site, seconds: float, *, bug: str) -> tuple[Config, dict[int, int]]:
    """Give the shop warehouses, products, stock and customers; return what clients must know, and the units."""
    token = sign_in(shop.ports[0], STAFF)

    def post(path: str, body: dict[str, Any]) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", shop.ports[0], timeout=30)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        connection.request("POST", API + path, json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read()
        assert answer.status == 201, text
        return json.loads(text)

    for number, code in enumerate(WAREHOUSES[1:]):
        post("/inventory/warehouses", {"code": code, "name": code, "priority": 200 + number})
    for number in range(BUYERS):
        post("/users", {"email": f"buyer-{number}@example.com", "password": "nine lives of a cat", "name": "Buyer"})

    def product(sku: str, stock: dict[str, int]) -> tuple[int, str]:
        levels = [{"warehouse": code, "quantity": quantity} for code, quantity in stock.items()]
        body = {"sku": sku, "name": sku, "price": "9.90", "currency": "EUR", "initial_stock": levels}
        return post("/products", body)["id"], sku

    products = [product(f"SKU-{number}", dict.fromkeys(WAREHOUSES, UNITS)) for number in range(PRODUCTS)]
    hot = [product(f"HOT-{number}", {"MAIN": HOT_UNITS})[0] for number in range(HOT)]
    initial = {product_id: UNITS * len(WAREHOUSES) for product_id, _ in products} | dict.fromkeys(hot, HOT_UNITS)
    config = Config(
        folder=str(shop.folder), ports=shop.ports, until=time.time() + seconds, products=products, hot=hot,
        warehouses=WAREHOUSES, staff=STAFF, bug=bug,
    )  # fmt: skip
    return config, initial


def _start_clients(shop: Site, config: Config, seed: int) -> list["subprocess.Popen[bytes]"]:
    path = shop.folder / "clients.json"
    config.write(path)
    names = [f"buyer-{number}" for number in range(BUYERS)] + [f"staff-{number}" for number in range(CLERKS)]
    command = [sys.executable, "-m", "tests.chaos.clients", str(path)]
    return [
        subprocess.Popen([*command, name, str(seed * 1000 + number)], cwd=ROOT) for number, name in enumerate(names)
    ]


def _end(client: "subprocess.Popen[bytes]", shop: Site) -> None:
    """Let a client finish what it is at; one that crashed would make the run worth nothing."""
    deadline = time.monotonic() + END_SECONDS
    while client.poll() is None:
        shop.keep_up()
        if time.monotonic() > deadline:
            client.kill()
            raise TimeoutError("a client does not come to an end")
        time.sleep(0.1)
    if client.returncode:
        raise RuntimeError(f"a client ended with exit code {client.returncode}; what it said is above")
