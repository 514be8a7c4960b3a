from argparse import ArgumentParser
from functools import partial
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from inventory.stock import items, ledger
from inventory.stock.limits import MAX_LEVEL, MAX_NOTE
from inventory.stock.vocabulary import Reason
from shop.toolkit.callers import SYSTEM
from shop.toolkit.db import transactions
from shop.toolkit.refusals import Refusal


class Command(BaseCommand):
    """Correct the stock of one SKU in one warehouse by a number of units, as one movement of the ledger.

    `--on-hand=-3` takes three units off what is on hand; `--unavailable=3` sets three of the units on hand aside, and
    `--unavailable=-3` makes three of them available again. What promises or physics forbid is refused.
    """

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("sku")
        parser.add_argument("warehouse", help="its code")
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--on-hand", type=int, metavar="UNITS", help="units to add, negative to take off")
        what.add_argument("--unavailable", type=int, metavar="UNITS", help="units to set aside, negative to put back")
        parser.add_argument("--reason", choices=Reason.MANUAL, default="correction")
        parser.add_argument("--note", default="", help="why; it stands in the ledger")

    def handle(
        self,
        *args: Any,
        sku: str,
        warehouse: str,
        on_hand: int | None,
        unavailable: int | None,
        reason: str,
        note: str,
        **options: Any,
    ) -> None:
        step, delta = (ledger.adjust, on_hand) if on_hand is not None else (ledger.set_apart, unavailable)
        if not delta or abs(delta) > MAX_LEVEL:
            raise CommandError(f"Give a number of units from 1 to {MAX_LEVEL:,}, or the same below zero.")
        if len(note) > MAX_NOTE:
            raise CommandError(f"A note has at most {MAX_NOTE} characters.")
        try:
            item = items.find_item(sku)
            movement = transactions.run(
                partial(
                    step,
                    product_id=item.product_id,
                    warehouse=warehouse,
                    delta=delta,
                    reason=reason,
                    note=note,
                    reference="",
                    caller=SYSTEM,
                )
            )
        except Refusal as refusal:
            raise CommandError(f"{sku} in {warehouse} was not changed: {refusal}") from refusal
        self.stdout.write(f"{sku} in {warehouse}: {movement.on_hand} on hand, {movement.unavailable} unavailable.")
