"""Fill a shop with rows of every kind, and keep it as the dump of this version. `make upgrade-dump`

Done once for each version that is released, by that version; later ones must migrate what it holds.
"""

import os
import subprocess
import sys
import tomllib
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import ROOT, migrated_server, server_arguments
from shop.local import embedded

FOLDER = ROOT / "tests" / "upgrades"


def main() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    dump = FOLDER / f"shop-{version}.dump"
    with migrated_server() as url:
        fill()
        subprocess.run([sys.executable, "manage.py", "verify_stock"], cwd=ROOT, check=True, env=os.environ)
        database = url.rsplit("/", 1)[1]
        program = [embedded.BIN / "pg_dump", *server_arguments(url), "--format=custom", "--no-owner"]
        subprocess.run([*program, f"--file={dump}", database], check=True)
    print(f"{dump.relative_to(ROOT)}: {dump.stat().st_size:,} bytes")


def fill() -> None:
    """Have everything happen once that leaves rows behind."""
    import django

    django.setup()
    from django.utils import timezone

    from inventory import services as inventory
    from inventory.counts import counting, posting
    from inventory.imports import staging, steps
    from inventory.reservations import holds
    from inventory.stock import ledger, warehouses
    from orders import lifecycle
    from shop.toolkit.callers import SYSTEM, System, User
    from shop.toolkit.db import transactions
    from shop.toolkit.ids import new_id
    from tests import factories
    from users import changes, mails, resets, second_factor

    run = transactions.run
    factories.warehouse("EAST")
    mug = factories.product(sku="MUG", stock={"MAIN": 90, "EAST": 20})
    pot = factories.product(sku="Pot 2", stock=40)
    clerk, buyer = factories.user(group="Inventory clerk"), factories.user()
    boss = User(factories.user(is_staff=True, is_superuser=True).id)
    run(lambda: warehouses.set_scope(clerk.id, warehouses=["EAST"], caller=boss))
    why = {"reason": "damaged", "note": "fell", "reference": "R-1", "caller": boss}
    run(lambda: ledger.adjust(product_id=mug.id, warehouse="MAIN", delta=-1, **why))
    run(lambda: ledger.set_apart(product_id=mug.id, warehouse="MAIN", delta=2, **why))
    run(
        lambda: ledger.transfer(
            transfer_id=new_id(),
            from_warehouse="MAIN",
            to_warehouse="EAST",
            items=[inventory.Demand(mug.id, 5)],
            note="",
            caller=boss,
        )
    )
    policy = {"safety_stock": 2, "reorder_point": 10, "backorder_limit": 5}
    run(lambda: ledger.set_policy(product_id=pot.id, warehouse="MAIN", changes=policy, caller=boss))

    placed = [factories.order(buyer, (mug.id, 3), (pot.id, 1)) for _ in range(5)]
    shop, now = System(boss.id), timezone.now()
    for order in placed[:4]:
        run(lambda order=order: lifecycle.confirm_order(order.id, caller=shop, payment_reference="pay", now=now))
    for order in placed[:2]:
        run(lambda order=order: lifecycle.fulfill_order(order.id, items=None, caller=shop, now=now))
    returned = {"items": [inventory.Demand(mug.id, 1)], "resalable": False, "note": "torn", "caller": shop, "now": now}
    run(lambda: lifecycle.return_items(placed[0].id, **returned))
    run(lambda: lifecycle.cancel_order(placed[3].id, caller=shop, now=now, reason="changed their mind"))
    held = factories.reservation((pot.id, 2), owner="api")
    run(lambda: holds.confirm(held.id, owner="api", caller=SYSTEM))
    factories.reservation((pot.id, 1), owner="api")

    count = run(lambda: counting.open_count(count_id=new_id(), warehouse="EAST", note="yearly", caller=boss))
    run(lambda: counting.record_count(count.id, product_id=mug.id, counted=24, caller=boss))
    run(lambda: posting.close_count(count.id, caller=boss))
    with TemporaryDirectory() as folder:
        file = Path(folder) / "levels.csv"
        file.write_text("sku,quantity,warehouse\npot 2,35,MAIN\nNONE,1,MAIN\n")
        request = staging.ImportRequest(file_name=file.name, on_error="skip")
        limits = staging.FileLimits(1 << 20, 1000)
        run(lambda: steps.load_import(request, import_id=new_id(), path=file, limits=limits, caller=boss))

    client = factories.client(buyer)
    client.defaults["SERVER_NAME"] = "localhost"
    body = {"items": [{"product_id": mug.id, "quantity": 1}]}
    assert client.post("/api/v1/orders", body, headers={"idempotency-key": "k-1"}).status_code == 201

    run(lambda: second_factor.renew_second_factor(email=clerk.email))
    proof = {"current_password": factories.PASSWORD, "address": "127.0.0.1"}
    approval = changes.approve_change(buyer.id, email="new@example.org", **proof)
    run(lambda: changes.update_profile(buyer.id, approval=approval))
    run(lambda: resets.want_password_reset(email=buyer.email))
    while run(lambda: mails.take_mail(now=now)):  # each makes the token that it tells of
        pass


if __name__ == "__main__":
    main()
