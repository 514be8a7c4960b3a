"""The statements of a reserve alone, taken from the code that runs them, for pgbench."""

import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import server_arguments
from shop import embedded


def reserve(product: str) -> str:
    """Return a one-line reserve of `product`, which is an expression of pgbench."""
    from inventory.sql._reservations import OPEN_RESERVATION
    from inventory.sql._stock import LOCK_STOCK, POST_MOVEMENTS

    def filled(statement: str, *values: str) -> str:
        for value in values:
            statement = statement.replace("%s", value, 1)
        assert "%s" not in statement
        return statement.strip() + ";"

    one_product, one, none = "ARRAY[:p]::bigint[]", "ARRAY[1]", "ARRAY[0]"
    reservation = "md5(:client_id || ':' || :n || ':' || :salt)::uuid"
    reference = f"{reservation}::text"
    hold = (reservation, "'bench'", reference, "1", "interval '15 min'", reservation, one_product, one, one)
    movement = (one_product, one, none, one, none, none, f"ARRAY[{reference}]", "'reserve'", "''", "1", "''")
    return "\n".join(
        [
            f"\\set p {product}",
            "\\set n random(1, 9000000000000000)",
            "\\set salt random(1, 9000000000000000)",
            "BEGIN;",
            filled(LOCK_STOCK, one_product),
            filled(OPEN_RESERVATION, *hold),
            filled(POST_MOVEMENTS, *movement),
            "COMMIT;",
        ]
    )


def pgbench(url: str, script: str, *, clients: int, seconds: int) -> float:
    """Run a script, prepared, and return how many transactions a second it made."""
    with TemporaryDirectory(prefix="shop-bench-") as folder:
        path = Path(folder) / "script.sql"
        path.write_text(script)
        load = ["-n", "-M", "prepared", "-f", path, "-c", str(clients), "-j", "2", "-T", str(seconds)]
        program = [embedded.BIN / "pgbench", *server_arguments(url), *load, url.rsplit("/", 1)[1]]
        done = subprocess.run(program, capture_output=True, text=True, check=False)
    found = re.search(r"tps = ([\d.]+)", done.stdout)
    if not found or "aborted" in done.stderr:
        sys.exit(done.stderr)
    return float(found[1])
