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
from shop.toolkit import transactions
from shop.toolkit.ids import new_id

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
        product_ids = [_create(number, stock) for number in range(lines)]
        self.stdout.write(f"{buyers} buyers, {min(buyers, AT_ONCE)} at once, want {lines} x 1 of {stock} units each")
        sold: list[UUID] = []
        try:
            outcomes = self._sell(product_ids, buyers, sold)
            self._judge(outcomes, buyers=buyers, stock=stock)
            call_command("verify_stock", stdout=self.stdout)
        finally:
            _clean_up(product_ids, sold)
        self.stdout.write("Proved: sold exactly what there was, refused exactly the rest, and the books are right.")

    def _sell(self, product_ids: Sequence[int], buyers: int, sold: list[UUID]) -> Counter[str]:
        """Let all buyers try; add the reservations of the lucky ones to `sold`, and return how many met which end."""
        outcomes: Counter[str] = Counter()
        started = time.monotonic()
        # The threads are more than the pool has connections; each takes one of its own and closes it.
        connections.settings["default"]["OPTIONS"]["pool"] = False
        with ThreadPoolExecutor(AT_ONCE) as pool:
            tries = [pool.submit(_buy, product_ids) for _ in range(buyers)]
            for done, attempt in enumerate(as_completed(tries), start=1):
                outcome, reservation_id = attempt.result()
                outcomes[outcome] += 1
                if reservation_id:
                    sold.append(reservation_id)
                if done % max(1, buyers // 10) == 0:
                    seconds = time.monotonic() - started
                    self.stdout.write(f"  {done} of {buyers} decided in {seconds:.1f} s: {dict(outcomes)}")
                    self.stdout.flush()
        return outcomes

    def _judge(self, outcomes: Counter[str], *, buyers: int, stock: int) -> None:
        expected = Counter({"sold": min(buyers, stock), "refused": max(0, buyers - stock)})
        if outcomes != expected:
            raise CommandError(f"Not proved: {dict(outcomes)} where {dict(expected)} was right.")


def _create(number: int, stock: int) -> int:
    return transactions.run(
        lambda: (
            products.create_product(
                sku=f"PROOF-{new_id()}",
                name=f"Throw-away product {number + 1} of a proof",
                description="",
                price=Decimal(1),
                currency=settings.DEFAULT_CURRENCY,
                initial_stock=[inventory.Level("MAIN", stock)],
                actor_id=None,
            ).id
        )
    )


def _buy(product_ids: Sequence[int]) -> tuple[str, UUID | None]:
    """Reserve one of each; return "sold" and the reservation, "refused", or "busy" when patience ran out."""
    reservation_id = new_id()
    # Every other buyer asks in the opposite order, which is what deadlocks shops.
    wanted = product_ids if reservation_id.int % 2 else product_ids[::-1]
    try:
        for _ in range(PATIENCE):
            try:
                transactions.run(lambda: _reserve(reservation_id, wanted))
            except inventory.InsufficientStock:
                return "refused", None
            except OperationalError:
                continue
            return "sold", reservation_id
        return "busy", None
    finally:
        connections.close_all()


def _reserve(reservation_id: UUID, product_ids: Sequence[int]) -> None:
    inventory.reserve(
        reservation_id=reservation_id,
        reference=f"proof {reservation_id}",
        demand=[inventory.Demand(product_id, 1) for product_id in product_ids],
        ttl=timedelta(hours=1),
        actor_id=None,
    )


def _clean_up(product_ids: Sequence[int], sold: Sequence[UUID]) -> None:
    for reservation_id in sold:
        transactions.run(partial(inventory.release, reservation_id, actor_id=None))
    for product_id in product_ids:
        transactions.run(partial(_remove, product_id))


def _remove(product_id: int) -> None:
    on_hand = inventory.get_item(product_id).on_hand
    inventory.adjust(
        product_id=product_id,
        warehouse="MAIN",
        delta=-on_hand,
        reason="correction",
        note="end of a proof",
        reference="",
        actor_id=None,
    )
    products.archive_product(product_id)
