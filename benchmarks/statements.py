"""The statements of a reserve alone, taken from the code that runs them, for pgbench."""

import os
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import server_arguments
from shop.local import embedded


def reserve(product: str) -> str:
    """Return a one-line reserve of `product`, which is an expression of pgbench."""
    from inventory.reservations.sql import RESERVE
    from inventory.stock.sql import LOCK_STOCK

    reservation = "md5(:client_id || ':' || :n || ':' || :salt)::uuid"
    values = {
        "id": reservation,
        "owner": "'bench'",
        "reference": f"{reservation}::text",
        "actor_id": "1",
        "ttl": "interval '15 min'",
        "products": "ARRAY[:p]",
        "warehouses": "ARRAY[1]",
        "quantities": "ARRAY[1]",
    }
    return "\n".join(
        [
            f"\\set p {product}",
            "\\set n random(1, 9000000000000000)",
            "\\set salt random(1, 9000000000000000)",
            "BEGIN;",
            LOCK_STOCK.strip().replace("%s", "ARRAY[:p]") + ";",
            re.sub(r"%\((\w+)\)s", lambda found: values[found[1]], RESERVE.strip()) + ";",
            "COMMIT;",
        ]
    )


def pgbench(url: str, script: str, *, clients: int, seconds: int) -> float:
    """Run a script, prepared, on connections set as the shop's; return how many transactions a second it made."""
    from shop.settings import CONNECTION_SETTINGS

    with TemporaryDirectory(prefix="shop-bench-") as folder:
        path = Path(folder) / "script.sql"
        path.write_text(script)
        load = ["-n", "-M", "prepared", "-f", path, "-c", str(clients), "-j", "2", "-T", str(seconds)]
        program = [embedded.BIN / "pgbench", *server_arguments(url), *load, url.rsplit("/", 1)[1]]
        options = {
            **os.environ,
            "PGOPTIONS": " ".join(f"-c {name}={value}" for name, value in CONNECTION_SETTINGS.items()),
        }
        done = subprocess.run(program, env=options, capture_output=True, text=True, check=False)
    found = re.search(r"tps = ([\d.]+)", done.stdout)
    if not found or "aborted" in done.stderr:
        sys.exit(done.stderr)
    return float(found[1])
