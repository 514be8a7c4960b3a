"""One run: a shop, clients, faults, and the verdict."""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import ROOT
from tests.chaos import journal
from tests.chaos.clients import Config
from tests.chaos.failpoints import POINTS
from tests.chaos.mutants import MUTANTS
from tests.chaos.nemesis import Fault, Nemesis
from tests.chaos.site import Process, Site, site
from tests.chaos.verifier import Verifier
from tests.chaos.wire import API, STAFF, account_of, connect, send, sign_in

BUYERS, CLERKS = 6, 2
PRODUCTS, UNITS = 30, 400
HOT, HOT_UNITS = 2, 10
WAREHOUSES = ["MAIN", "EAST", "WEST"]
END_SECONDS = 60  # for the clients to come to an end after the last fault
FEWEST_FAULTS = 20


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
        kills = sum(fault.kind.startswith("kill") for fault in self.faults)
        verdict = f"NOT VALID: {self.invalid}" if self.invalid else f"{len(self.findings)} promises broken"
        return (
            f"{verdict}. {self.ended - self.began:.0f} s, seed {self.seed}, "
            f"{len(self.faults)} faults of {kinds} kinds, {kills} of them kills, "
            f"{len(writes)} writes asked, {done} done, {len(attempts)} attempts, {unknown} of them of unknown fate."
        )


def run(*, seconds: float, seed: int, mutant: str = "", say: Callable[[str], None] = print) -> Verdict:
    """Start a shop, let clients and faults loose on it for so long, and judge what came of it."""
    folder = Path(tempfile.mkdtemp(prefix="shop-chaos-"))
    say(f"Journals and logs are in {folder} until the run is judged well.")
    with site(folder, mutant=mutant) as shop:
        config, initial = _furnish(shop, seconds, bug=MUTANTS[mutant].in_client if mutant else False)
        say(f"The shop is up; {BUYERS} buyers, {CLERKS} clerks, seed {seed}, {seconds:.0f} s")
        began = time.time()
        nemesis = Nemesis(shop, seed)
        hung: list[str] = []
        with _clients(shop, config, seed) as clients:
            nemesis.run(config.until)
            hung += _await(shop, clients)
        _say_faults(nemesis, say)
        entries = journal.read(sorted(folder.glob("*.journal")))
        missing = [kind for kind, count in nemesis.counts.items() if not count]
        verdict = Verdict(seed, began, config.until, nemesis.done, missing, entries, hung)
        skus = {sku: product_id for product_id, sku in config.products}
        verdict.findings += Verifier(shop, list(entries.values()), seed).run(
            say, initial=initial, skus=skus, faults=nemesis.done, ended=config.until
        )
    if mutant or not (verdict.findings or verdict.invalid):
        shutil.rmtree(folder, ignore_errors=True)
    return verdict


def _say_faults(nemesis: Nemesis, say: Callable[[str], None]) -> None:
    say(", ".join(f"{kind} {count}" for kind, count in sorted(nemesis.counts.items())))
    reached = sum(count > 0 for count in nemesis.points.values())
    say(f"{nemesis.points.total()} faults at {reached} of {len(POINTS)} places of a transaction")


def _await(shop: Site, clients: list[Process]) -> list[str]:
    """Wait until the shop is ready and the clients have come to an end; return what does not."""
    try:
        shop.await_ready()
    except TimeoutError as error:
        return [str(error)]
    deadline = time.monotonic() + END_SECONDS
    while any(client.poll() is None for client in clients) and time.monotonic() < deadline:
        shop.keep_up()
        time.sleep(0.1)
    codes = [client.poll() for client in clients]
    return [f"a client ended with exit code {code}, None being not at all" for code in codes if code != 0]


def _furnish(shop: Site, seconds: float, *, bug: bool) -> tuple[Config, dict[int, int]]:
    """Give the shop warehouses, products, stock and customers; return what clients must know, and the units."""
    token = sign_in(shop.ports[0], STAFF)

    def post(path: str, body: dict[str, Any]) -> Any:
        answer = send(connect(shop.ports[0]), "POST", API + path, body, token=token)
        if answer.status != 201:
            raise RuntimeError(f"the shop cannot be furnished: {answer}")
        return answer.json

    for number, code in enumerate(WAREHOUSES[1:]):
        post("/inventory/warehouses", {"code": code, "name": code, "priority": 200 + number})
    for number in range(BUYERS):
        post("/users", {**account_of(f"buyer-{number}", STAFF), "name": "Buyer"})

    def product(sku: str, stock: dict[str, int]) -> tuple[int, str]:
        levels = [{"warehouse": code, "quantity": quantity} for code, quantity in stock.items()]
        body = {"sku": sku, "name": sku, "price": "9.90", "currency": "EUR", "initial_stock": levels}
        return post("/products", body)["id"], sku

    products = [product(f"SKU-{number}", dict.fromkeys(WAREHOUSES, UNITS)) for number in range(PRODUCTS)]
    hot = [product(f"HOT-{number}", {"MAIN": HOT_UNITS})[0] for number in range(HOT)]
    initial = {product_id: UNITS * len(WAREHOUSES) for product_id, _ in products} | dict.fromkeys(hot, HOT_UNITS)
    config = Config(
        folder=str(shop.folder), ports=shop.ports, until=time.time() + seconds, products=products, hot=hot,
        warehouses=WAREHOUSES, staff=STAFF, new_key_for_retries=bug,
    )  # fmt: skip
    return config, initial


@contextmanager
def _clients(shop: Site, config: Config, seed: int) -> Iterator[list[Process]]:
    """Yield the clients, who have begun; whatever happens, none of them goes on for ever."""
    path = shop.folder / "clients.json"
    config.write(path)
    names = [f"buyer-{number}" for number in range(BUYERS)] + [f"staff-{number}" for number in range(CLERKS)]
    command = [sys.executable, "-m", "tests.chaos.clients", str(path)]
    clients = [
        subprocess.Popen([*command, name, str(seed * 1000 + number)], cwd=ROOT) for number, name in enumerate(names)
    ]
    try:
        yield clients
    finally:
        for client in clients:
            client.kill()
            client.wait()
