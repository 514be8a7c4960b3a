"""A client of the shop as a process of its own: buys, pays, cancels, ships, counts, and never forgets what it asked.

`python -m tests.chaos.clients CONFIG NAME SEED`; CONFIG is JSON of a `Config`.
"""

import http.client
import itertools
import json
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tests.chaos.journal import REUSED, Attempt, Journal, Operation
from tests.chaos.wire import API, Answer, account_of, connect, send, sign_in

RETRIES = 8
PAUSE = 0.005  # at most, between two operations


@dataclass(frozen=True)
class Config:
    """What every client is told."""

    folder: str
    ports: list[int]
    until: float
    products: list[tuple[int, str]]  # ids and SKUs, the most wanted first
    hot: list[int]  # of these there is never enough
    warehouses: list[str]
    staff: dict[str, str]
    new_key_for_retries: bool = False  # a bug of the client, where the test is tested

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))


class Client:
    """Sends operations, repeats those whose fate is unknown, and writes everything down."""

    def __init__(self, config: Config, name: str, seed: int) -> None:
        self.config, self.name, self.random = config, name, random.Random(seed)
        self.journal = Journal(Path(config.folder) / f"{name}.journal")
        self.numbers = itertools.count(1)
        self.attempts = itertools.count(1)
        self.token = ""
        self.until = config.until
        self.local = threading.local()

    def ask(self, kind: str, method: str, path: str, body: Any = None) -> Answer | None:
        """Do one operation; return its answer, None when nobody knows what became of it."""
        operation = self._new(kind, method, path, body)
        chance = self.random.random()
        if operation.writes and chance < 0.05:
            heard = self._twins(operation)
        else:
            heard = self._attempt(operation, self._any_server())
        gives_up = chance > 0.9
        for retry in range(0 if gives_up else RETRIES):
            if heard:
                break
            time.sleep(min(2, 0.05 * 2**retry) * self.random.random())
            again = self._renamed(operation) if self.config.new_key_for_retries else operation
            heard = self._attempt(again, self._any_server())
        if operation.writes and heard and 0.05 < chance < 0.08 and not self.config.new_key_for_retries:
            self._reuse(operation)
        return heard

    def come_to_an_end(self) -> None:
        """Finish what is being asked, and ask nothing more."""
        self.until = 0

    def _new(self, kind: str, method: str, path: str, body: Any) -> Operation:
        key = f"{self.name}-{next(self.numbers)}"
        if isinstance(body, dict):  # whoever looks at what it has done finds its name there
            body = {name: key if value is NAME else value for name, value in body.items()}
        if isinstance(body, str):
            body = body.replace("NAME", key)
        operation = Operation(key, kind, method, API + path, body, self.name)
        self.journal.do(operation)
        return operation

    def _renamed(self, operation: Operation) -> Operation:
        renamed = replace(operation, key=f"{self.name}-{next(self.numbers)}", wish=operation.key)
        self.journal.do(renamed)
        return renamed

    def _twins(self, operation: Operation) -> Answer | None:
        """Send it twice at once, to both servers."""
        heard: list[Answer | None] = []
        threads = [
            threading.Thread(target=lambda server=server: heard.append(self._attempt(operation, server)))
            for server in range(len(self.config.ports))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return next(filter(None, heard), None)

    def _reuse(self, operation: Operation) -> None:
        """Send another body with a key that was answered."""
        body = altered(operation.body)
        if body == operation.body:
            return
        other = Operation(operation.key + REUSED, "reuse", operation.method, operation.path, body, self.name)
        self.journal.do(other)
        self._attempt(other, self._any_server())

    def _attempt(self, operation: Operation, server: int) -> Answer | None:
        number = next(self.attempts)
        self.journal.sending(operation.key, number, server=server)
        key = operation.sent_key if operation.writes else ""
        try:
            answer = send(
                self._connection(server), operation.method, operation.path, operation.body, token=self.token, key=key
            )
        except (OSError, http.client.HTTPException) as error:
            self._drop(server)
            self.journal.lost(operation.key, number, type(error).__name__)
            return None
        if answer.status == 401:
            self.journal.lost(operation.key, number, "token")
            self.sign_in()
            return None
        # What is only read is not held against anybody, and lists are long.
        kept = answer.body if operation.writes else b""
        self.journal.got(operation.key, number, status=answer.status, body=kept, replayed=answer.replayed)
        return answer if Attempt(sent=0, status=answer.status, body=answer.body).is_decided else None

    def _wanted(self, count: int) -> list[tuple[int, str]]:
        """Draw so many products by Zipf's law: the n-th is wanted n times less than the first."""
        lots = [self.random.random() ** rank for rank in range(1, len(self.config.products) + 1)]
        return [product for _, product in sorted(zip(lots, self.config.products, strict=True), reverse=True)[:count]]

    def _any_server(self) -> int:
        return self.random.randrange(len(self.config.ports))

    def _connection(self, server: int) -> http.client.HTTPConnection:
        kept = self.local.__dict__.setdefault("connections", {})
        if server not in kept:
            kept[server] = connect(self.config.ports[server])
        return kept[server]

    def _drop(self, server: int) -> None:
        self.local.connections.pop(server).close()

    def sign_in(self) -> None:
        """Get a token, however long it takes."""
        account = account_of(self.name, self.config.staff)
        while time.time() < self.until:
            try:
                self.token = sign_in(self.config.ports[self._any_server()], account)
            except (OSError, http.client.HTTPException, KeyError, ValueError):
                time.sleep(0.2)
            else:
                return


NAME = object()  # in a body: the operation's own name


def altered(body: Any) -> Any:
    """Return a body that is as good, and another."""
    if isinstance(body, str):
        return f"{body}-other"
    if "items" in body:
        first, *rest = body["items"]
        return {**body, "items": [{**first, "quantity": first["quantity"] + 1}, *rest]}
    return {
        name: f"{value}-other" if isinstance(value, str) and value.startswith(("buyer", "staff")) else value
        for name, value in body.items()
    }


class Buyer(Client):
    """Checks out, pays, cancels, looks; leaves some orders to expire."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.pending: list[str] = []

    def step(self) -> None:
        chosen = self.random.random()
        if chosen < 0.55 or not self.pending:
            self._check_out()
        elif chosen < 0.8:
            self.ask("confirm", "POST", f"/orders/{self._one()}/confirm", {})
        elif chosen < 0.9:
            self.ask("cancel", "POST", f"/orders/{self._one()}/cancel", {"reason": NAME})
        elif chosen < 0.95:
            self.ask("read", "GET", f"/orders/{self.random.choice(self.pending)}")
        else:
            product_id, _ = self.random.choice(self.config.products)
            self.ask("read", "GET", f"/inventory/check?product_id={product_id}&quantity=2")

    def _one(self) -> str:
        return self.pending.pop(self.random.randrange(len(self.pending)))

    def _check_out(self) -> None:
        count = self.random.choice([1, 1, 1, 2, 2, 3, 5, 8, 13, 20])
        wanted = self._wanted(count)
        items = [{"product_id": product_id, "quantity": self.random.randint(1, 3)} for product_id, _ in wanted]
        if self.random.random() < 0.6:
            items.append({"product_id": self.random.choice(self.config.hot), "quantity": 1})
        self.random.shuffle(items)
        heard = self.ask("checkout", "POST", "/orders", {"items": items})
        if heard and heard.status == 201:
            self.pending = [*self.pending[-20:], heard.json["id"]]


class Clerk(Client):
    """Ships and takes back, receives, counts, transfers, imports, looks."""

    def step(self) -> None:
        duties: list[tuple[int, Callable[[], None]]] = [
            (3, self._ship),
            (2, self._take_back),
            (8, self._receive),
            (2, self._set),
            (2, self._transfer),
            (2, self._set_apart),
            (1, self._import),
            (1, self._look),
        ]
        (duty,) = self.random.choices([duty for _, duty in duties], weights=[weight for weight, _ in duties])
        duty()

    def _orders(self, status: str) -> list[Any]:
        heard = self.ask("read", "GET", f"/orders?status={status}&page_size=50")
        return list(heard.json["results"]) if heard and heard.status == 200 else []

    def _some(self, status: str, units: Callable[[Any], int]) -> tuple[str, list[dict[str, int]]] | None:
        found = self._orders(status)
        if not found:
            return None
        order = self.random.choice(found)
        items = [
            {"product_id": line["product_id"], "quantity": self.random.randint(1, units(line))}
            for line in order["items"]
            if units(line) and self.random.random() < 0.7
        ]
        return (order["id"], items) if items else None

    def _ship(self) -> None:
        status = self.random.choice(["confirmed", "confirmed", "partially_fulfilled"])
        some = self._some(status, lambda line: line["quantity"] - line["fulfilled"] - line["cancelled"])
        if some:
            self.ask("fulfill", "POST", f"/orders/{some[0]}/fulfill", {"items": some[1]})

    def _take_back(self) -> None:
        some = self._some(
            self.random.choice(["fulfilled", "partially_fulfilled"]), lambda line: line["fulfilled"] - line["returned"]
        )
        if some:
            body = {"items": some[1], "resalable": self.random.random() < 0.7, "note": NAME}
            self.ask("return", "POST", f"/orders/{some[0]}/return", body)

    def _receive(self) -> None:
        is_hot = self.random.random() < 0.7
        product_id = self.random.choice(self.config.hot) if is_hot else self._wanted(1)[0][0]
        # Of most there is to be enough, also after hours; of one there never is.
        body = {"mode": "adjust", "quantity": self.random.randint(1, 2 if is_hot else 80), "reason": "received"}
        warehouse = self.config.warehouses[0]
        path = f"/inventory/items/{product_id}/adjustments"
        self.ask("adjust", "POST", path, {**body, "warehouse": warehouse, "reference": NAME})

    def _set(self) -> None:
        product_id, _ = self._product()
        heard = self.ask("read", "GET", f"/inventory/items/{product_id}")
        if not heard or heard.status != 200:
            return
        stock = self.random.choice(heard.json["stocks"])
        on_hand = stock["on_hand"]
        body = {"mode": "set", "quantity": max(0, on_hand + self.random.randint(-2, 4)), "expected_on_hand": on_hand}
        path = f"/inventory/items/{product_id}/adjustments"
        self.ask("adjust", "POST", path, {**body, "warehouse": stock["warehouse"], "reference": NAME})

    def _set_apart(self) -> None:
        """Find units damaged, or in order after all, or throw some away; also where more is promised than there is."""
        product_id = self.random.choice([*self.config.hot, self._product()[0]])
        mode = self.random.choice(["unavailable", "unavailable", "discard"])
        sign = self.random.choice([1, 1, -1]) if mode == "unavailable" else 1
        body = {"mode": mode, "quantity": sign * self.random.randint(1, 3), "reason": "damaged"}
        path = f"/inventory/items/{product_id}/adjustments"
        self.ask("adjust", "POST", path, {**body, "warehouse": self.config.warehouses[0], "reference": NAME})

    def _transfer(self) -> None:
        source, target = self.random.sample(self.config.warehouses, 2)
        product_id = self.random.choice([*self.config.hot, *(self._product()[0] for _ in range(3))])
        items = [{"product_id": product_id, "quantity": self.random.randint(1, 4)}]
        body = {"from_warehouse": source, "to_warehouse": target, "items": items, "note": NAME}
        self.ask("transfer", "POST", "/inventory/transfers", body)

    def _import(self) -> None:
        chosen = self.random.sample(self.config.products, 5)
        rows = [
            f"{sku},{self.random.choice(self.config.warehouses)},{self.random.randint(1, 3)},NAME" for _, sku in chosen
        ]
        self.ask("import", "POST", "/inventory/imports", "\n".join(["sku,warehouse,quantity,reference", *rows]))

    def _look(self) -> None:
        self.ask("read", "GET", f"/inventory/items/{self._product()[0]}/explain")

    def _product(self) -> tuple[int, str]:
        product_id, sku = self.random.choice(self.config.products)
        return product_id, sku


def main(config_path: str, name: str, seed: str) -> None:
    given = json.loads(Path(config_path).read_text())
    given["products"] = [tuple(product) for product in given["products"]]
    config = Config(**given)
    client = (Clerk if name.startswith("staff") else Buyer)(config, name, int(seed))
    signal.signal(signal.SIGTERM, lambda *_: client.come_to_an_end())
    client.sign_in()
    while time.time() < client.until:
        client.step()
        time.sleep(PAUSE * client.random.random())
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it ends; Python would die of one while it tidies up


if __name__ == "__main__":
    main(*sys.argv[1:])
