"""One run: a shop, clients, faults, and the verdict."""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from benchmarks import ROOT
from shop.local import embedded
from tests.chaos import journal
from tests.chaos.clients import Config
from tests.chaos.database import database
from tests.chaos.mutants import MUTANTS
from tests.chaos.nemesis import Fault, Nemesis
from tests.chaos.proxy import FaultProxy
from tests.chaos.site import Process, Site, running
from tests.chaos.verifier import Verifier
from tests.chaos.wire import API, STAFF, account_of, connect, send, sign_in

BUYERS, CLERKS = 6, 2
PRODUCTS, UNITS = 30, 400
HOT, HOT_UNITS = 2, 10
BACKORDER_LIMIT = 6  # of the hot products in the first warehouse: promised although they are not there
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
    fewest: int = FEWEST_FAULTS  # that prove something

    @property
    def invalid(self) -> str:
        """Why the run proves nothing; empty when it does."""
        if self.missing:
            return f"no fault of these kinds came to pass: {', '.join(self.missing)}"
        if len(self.faults) < self.fewest:
            return f"{len(self.faults)} faults are fewer than {self.fewest}"
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


class Faults(Protocol):
    """What a trial asks of whoever does the faults."""

    done: list[Fault]

    @property
    def missing(self) -> list[str]:
        """The kinds that never came to pass."""

    def run(self, until: float) -> None:
        """Do faults until that time, and as much longer as they take. Raises TimeoutError."""

    def tell(self, say: Callable[[str], None]) -> None:
        """Say what was done."""


def run(*, seconds: float, seed: int, mutant: str = "", say: Callable[[str], None] = print) -> Verdict:
    """Start a shop, let clients and faults loose on it for so long, and judge what came of it."""
    folder = Path(tempfile.mkdtemp(prefix="shop-chaos-"))
    folder.chmod(0o711)  # where root runs this, PostgreSQL's account passes through
    say(f"Journals and logs are in {folder} until the run is judged well.")
    with database(folder) as postgres, closing(FaultProxy(postgres.sockets)) as proxy:
        proxied = f"postgres://{embedded.SUPERUSER}@127.0.0.1:{proxy.port}/{embedded.DATABASE}"
        shop = Site(folder, postgres, url=f"{proxied}?sslmode=disable&gssencmode=disable", mutant=mutant)
        with running(shop):
            bug = MUTANTS[mutant].in_client if mutant else False
            verdict = trial(shop, Nemesis(shop, postgres, proxy, seed), seconds=seconds, seed=seed, bug=bug, say=say)
    if mutant or not (verdict.findings or verdict.invalid):
        shutil.rmtree(folder, ignore_errors=True)
    return verdict


def trial(
    shop: Site,
    nemesis: Faults,
    *,
    seconds: float,
    seed: int,
    overtime: float = 0,
    bug: bool = False,
    say: Callable[[str], None],
) -> Verdict:
    """Let clients and faults loose on a shop that is up, and judge what came of it.

    Clients go on until the faults are over, but no longer than `overtime` seconds past the end.
    """
    config, initial, backorders = _furnish(shop, seconds + overtime, bug=bug)
    say(f"The shop is up; {BUYERS} buyers, {CLERKS} clerks, seed {seed}, {seconds:.0f} s")
    began = time.time()
    hung: list[str] = []
    with _clients(shop, config, seed) as clients:
        try:
            nemesis.run(config.until - overtime)
        except TimeoutError as error:
            hung.append(str(error))
        ended = min(time.time(), config.until)
        for client in clients:
            client.terminate()
        hung += _await(shop, clients)
    nemesis.tell(say)
    entries = journal.read(sorted(shop.folder.glob("*.journal")))
    verdict = Verdict(seed, began, ended, nemesis.done, nemesis.missing, entries, hung)
    skus = {sku: product_id for product_id, sku in config.products}
    verdict.findings += Verifier(shop, list(entries.values()), seed).run(
        say, initial=initial, backorders=backorders, skus=skus, faults=nemesis.done, ended=ended
    )
    return verdict


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


def _furnish(shop: Site, seconds: float, *, bug: bool) -> tuple[Config, dict[int, int], dict[tuple[int, str], int]]:
    """Give the shop warehouses, products, stock and customers; return what clients must know, the units of each
    product, and the backorder limits by product and warehouse."""
    token = sign_in(shop.ports[0], STAFF)

    def post(path: str, body: dict[str, Any], *, method: str = "POST", status: int = 201) -> Any:
        answer = send(connect(shop.ports[0]), method, API + path, body, token=token)
        if answer.status != status:
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
    for product_id in hot:
        limit = {"backorder_limit": BACKORDER_LIMIT}
        post(f"/inventory/items/{product_id}/stocks/MAIN", limit, method="PATCH", status=200)
    initial = {product_id: UNITS * len(WAREHOUSES) for product_id, _ in products} | dict.fromkeys(hot, HOT_UNITS)
    config = Config(
        folder=str(shop.folder), ports=shop.ports, until=time.time() + seconds, products=products, hot=hot,
        warehouses=WAREHOUSES, staff=STAFF, new_key_for_retries=bug,
    )  # fmt: skip
    return config, initial, {(product_id, "MAIN"): BACKORDER_LIMIT for product_id in hot}


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
