import time
from argparse import ArgumentParser, ArgumentTypeError
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError, connections

from inventory import services as inventory
from products import services as products
from shop.toolkit.callers import SYSTEM
from shop.toolkit.db import transactions
from shop.toolkit.db.pages import PageRequest
from shop.toolkit.ids import new_id

OWNER = "proof"
AT_ONCE = 16
PATIENCE = 20  # tries of a buyer that the database asks to come again


def positive(text: str) -> int:
    """Return a whole number of at least 1."""
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 100_000):
        raise ArgumentTypeError(f"{text!r} is no number from 1 to 100000")
    return int(text)


class Command(BaseCommand):
    """Prove on your own database that stock is never oversold: parallel buyers fight over throw-away products.

    Each buyer wants one unit of every product, all or nothing. Exactly as many as there are units must get them, and
    all the others must be refused. Then every invariant is verified. Afterwards the products have no units and are
    archived; their ledger stays, as every ledger does.
    """

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--buyers", type=positive, default=100)
        parser.add_argument("--stock", type=positive, default=25, help="units of each product")
        parser.add_argument("--lines", type=positive, default=1, help="products that each buyer wants one unit of")

    def handle(self, *args: Any, buyers: int, stock: int, lines: int, **options: Any) -> None:
        warehouse = _warehouse()
        self.stdout.write(f"{buyers} buyers, {min(buyers, AT_ONCE)} at once, want {lines} x 1 of {stock} units each")
        product_ids: list[int] = []
        try:
            for number in range(lines):
                product_ids.append(_create(number, stock, warehouse))
            self._judge(self._sell(product_ids, buyers), buyers=buyers, stock=stock)
            call_command("verify_stock", stdout=self.stdout)
        finally:
            for product_id in product_ids:
                _clean_up(product_id, warehouse)
        self.stdout.write(
            "Proved: all units were sold, every other request was refused, and the stock records are right."
        )

    def _sell(self, product_ids: Sequence[int], buyers: int) -> Counter[str]:
        """Let all buyers try; return how many met which end."""
        outcomes: Counter[str] = Counter()
        started = time.monotonic()
        # The threads are more than the pool has connections; each takes one of its own and closes it.
        connections.settings["default"]["OPTIONS"]["pool"] = False
        pool = ThreadPoolExecutor(AT_ONCE)
        try:
            tries = [pool.submit(_buy, product_ids) for _ in range(buyers)]
            for done, attempt in enumerate(as_completed(tries), start=1):
                outcomes[attempt.result()] += 1
                if done % max(1, buyers // 10) == 0:
                    seconds = time.monotonic() - started
                    self.stdout.write(f"  {done} of {buyers} decided in {seconds:.1f} s: {dict(outcomes)}")
                    self.stdout.flush()
        finally:
            pool.shutdown(cancel_futures=True)  # who has not tried yet need not when we are interrupted
        return outcomes

    def _judge(self, outcomes: Counter[str], *, buyers: int, stock: int) -> None:
        expected = Counter({"sold": min(buyers, stock), "refused": max(0, buyers - stock)})
        if outcomes != expected:
            raise CommandError(f"Not proved: {dict(outcomes)} where {dict(expected)} was right.")


def _warehouse() -> str:
    """Return the first warehouse that sells."""
    for warehouse in inventory.list_warehouses(page=PageRequest(size=200), caller=SYSTEM).results:
        if warehouse.is_active:
            return warehouse.code
    raise CommandError("There is no active warehouse to sell from.")


def _create(number: int, stock: int, warehouse: str) -> int:
    return transactions.run(partial(_create_unlisted, number, stock, warehouse))


def _create_unlisted(number: int, stock: int, warehouse: str) -> int:
    """Create a product that no customer sees: archived at once, which inventory does not mind."""
    product = products.create_product(
        sku=f"PROOF-{new_id()}",
        name=f"Throw-away product {number + 1} of a proof",
        description="",
        price=Decimal(1),
        currency=settings.DEFAULT_CURRENCY,
        initial_stock=[inventory.Level(warehouse, stock)],
        caller=SYSTEM,
    )
    products.archive_product(product.id)
    return product.id


def _buy(product_ids: Sequence[int]) -> str:
    """Reserve one of each; return "sold", "refused", or "busy" when patience ran out."""
    reservation_id = new_id()
    # Every other buyer asks in the opposite order, which is what deadlocks shops.
    wanted = product_ids if reservation_id.int % 2 else product_ids[::-1]
    try:
        for _ in range(PATIENCE):
            try:
                transactions.run(partial(_reserve, reservation_id, wanted))
            except inventory.InsufficientStock:
                return "refused"
            except OperationalError:
                continue
            return "sold"
        return "busy"
    finally:
        connections.close_all()


def _reserve(reservation_id: UUID, product_ids: Sequence[int]) -> None:
    inventory.reserve(
        reservation_id=reservation_id,
        owner=OWNER,
        reference=f"proof {reservation_id}",
        demand=[inventory.Demand(product_id, 1) for product_id in product_ids],
        ttl=timedelta(hours=1),
        caller=SYSTEM,
    )


def _clean_up(product_id: int, warehouse: str) -> None:
    """Release whatever holds the product's units, and write the units off."""
    while holds := inventory.explain(product_id, caller=SYSTEM).holds:
        for hold in holds:
            transactions.run(partial(inventory.release, hold.reservation_id, owner=OWNER, caller=SYSTEM))
    transactions.run(partial(_write_off, product_id, warehouse))


def _write_off(product_id: int, warehouse: str) -> None:
    inventory.adjust(
        product_id=product_id,
        warehouse=warehouse,
        delta=-inventory.get_item(product_id, caller=SYSTEM).on_hand,
        reason="correction",
        note="end of a proof",
        reference="",
        caller=SYSTEM,
    )
