"""Let schemathesis loose on the whole API, as each role, against a live server. `make fuzz-api`

Its own PostgreSQL, its own server with a shop in it, and every check on. Quotas are off: their answer would take the
place of all others. EXAMPLES is how many requests an operation gets from each strategy, at most; SEED repeats a run.
"""

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path

import httpx

from benchmarks import production_server
from shop.local import embedded

ROLES = ("anonymous", "customer", "clerk", "admin")
HERE = Path(__file__).parent
SETTINGS = {
    "DJANGO_SETTINGS_MODULE": "shop.settings",
    "HTTPS": "off",
    "LOG_FORMAT": "line",
    "THROTTLE_LOGIN": "off",
    "THROTTLE_REGISTER": "off",
}


def main() -> int:
    with embedded.throwaway() as url:
        os.environ.update(SETTINGS, DATABASE_URL=url, SECRET_KEY=secrets.token_urlsafe(48), DATABASE_POOL_SIZE="0")
        subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], check=True)
        _furnish()
        with production_server() as base:
            failed = [role for role in ROLES if _fuzz(base, role)]
        failed += _broken_books()
    print(f"Failed as: {', '.join(failed)}" if failed else f"No failure as {', '.join(ROLES)}.")
    return bool(failed)


def _furnish() -> None:
    """Put a shop into the database, and somebody of each role."""
    import django

    django.setup()
    from django.contrib.auth.models import Group

    from tests import factories
    from users.models import User

    for role in ROLES[1:]:
        factories.user(email=f"{role}@example.com", is_staff=role != "customer", is_superuser=role == "admin")
    User.objects.get(email="clerk@example.com").groups.set(Group.objects.filter(name="Inventory clerk"))
    factories.warehouse("EAST", priority=200)
    made = [factories.product(sku=f"SKU-{number}", stock={"MAIN": 100_000, "EAST": 100_000}) for number in range(5)]
    for _ in range(5):
        factories.order(factories.user(), (made[0].id, 2), (made[1].id, 1))
        factories.reservation((made[2].id, 1), owner="api")


def _fuzz(base: str, role: str) -> bool:
    """Run schemathesis as a role; tell whether it found anything."""
    print(f"\n=== as {role}", flush=True)
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        "--config-file", str(HERE / "schemathesis.toml"),
        "run", f"{base}/api/schema", "--url", base,
        "--max-examples", os.environ.get("EXAMPLES", "30"),
        *_signed_in(base, role),
        *(["--seed", seed] if (seed := os.environ.get("SEED")) else []),
    ]  # fmt: skip
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": "tests.fuzzing.hooks"}
    return subprocess.run(command, env=environment, check=False).returncode != 0


def _signed_in(base: str, role: str) -> list[str]:
    """Return the option that signs a role in, for the five minutes that a token lives: enough for EXAMPLES up to 80."""
    from tests.factories import PASSWORD

    if role == "anonymous":
        return []
    login = {"email": f"{role}@example.com", "password": PASSWORD}
    token = httpx.post(f"{base}/api/v1/auth/token", json=login).json()["access"]
    return ["--header", f"Authorization: Bearer {token}"]


def _broken_books() -> list[str]:
    """Return the invariants that no longer hold; a throw-away server does not sync to disk, which counts as one."""
    told = subprocess.run([sys.executable, "manage.py", "verify_stock", "--json"], capture_output=True, check=False)
    return [found["check"] for found in json.loads(told.stdout)["findings"] if found["check"] != "guard_settings"]


if __name__ == "__main__":
    sys.exit(main())
