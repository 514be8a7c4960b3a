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
    """Adjust the stock of one SKU in one warehouse, as one movement in the ledger.

    `--on-hand=-3` removes three units; `--unavailable=3` sets three of the units on hand aside, and
    `--unavailable=-3` makes three of them available again. A change that would break a promise, or take units that are
    not there, is refused.
    """

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("sku")
        parser.add_argument("warehouse", help="the warehouse code")
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--on-hand", type=int, metavar="UNITS", help="units to add; negative to remove")
        what.add_argument("--unavailable", type=int, metavar="UNITS", help="units to set aside; negative to put back")
        parser.add_argument("--reason", choices=Reason.MANUAL, default="correction")
        parser.add_argument("--note", default="", help="the reason in words, recorded in the ledger")

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
            raise CommandError(f"The number of units must be from 1 to {MAX_LEVEL:,}, or from -1 to -{MAX_LEVEL:,}.")
        if len(note) > MAX_NOTE:
            raise CommandError(f"A note may have at most {MAX_NOTE} characters.")
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
