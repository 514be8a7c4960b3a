"""DATABASE_POOLER=transaction: what PgBouncer must be told, and what happens when it was not. `make test-pooled` runs
all tests through one."""

import ast
import os
import re
import subprocess
import sys

from django.db import connection, transaction

from benchmarks import ROOT
from shop import settings
from tests.pooled import connect_query


def test_the_page_tells_the_pooler_every_setting():
    said = dict(re.findall(r"SET (\w+) = (?:'')?(.+?)(?:'')?(?:;|$)", connect_query()))

    assert said == {name: value.replace("\\", "") for name, value in settings.CONNECTION_SETTINGS.items()}


def found_in_settings(**given: str) -> dict[str, tuple[dict, bool]]:
    """Return what each connection is given, and whether it reads by no cursor that outlives its transaction."""
    code = (
        "from shop.settings import DATABASES;"
        "print({name: (d['OPTIONS'], d['DISABLE_SERVER_SIDE_CURSORS']) for name, d in DATABASES.items()})"
    )
    environment = {
        "PATH": os.environ["PATH"],
        "SECRET_KEY": os.environ["SECRET_KEY"],
        "DATABASE_URL": "postgres://u@h/d",
        "DATABASE_POOL_SIZE": "0",
        **given,
    }
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    found: dict[str, tuple[dict, bool]] = ast.literal_eval(done.stdout)
    return found


def test_nothing_is_sent_or_kept_that_a_pooler_would_drop():
    ((options, no_cursors),) = found_in_settings(DATABASE_POOLER="transaction").values()

    assert options["prepare_threshold"] is None
    assert "options" not in options
    assert no_cursors


def test_a_replica_may_have_a_pooler_or_not_of_its_own():
    replica = {"DATABASE_REPLICA_URL": "postgres://u@r/d"}
    for given, pooled in (
        ({}, {"default": False, "replica": False}),
        ({"DATABASE_POOLER": "transaction"}, {"default": True, "replica": True}),
        ({"DATABASE_POOLER": "transaction", "DATABASE_REPLICA_POOLER": "none"}, {"default": True, "replica": False}),
        ({"DATABASE_REPLICA_POOLER": "transaction"}, {"default": False, "replica": True}),
    ):
        found = found_in_settings(**replica, **given)
        assert {name: no_cursors for name, (_, no_cursors) in found.items()} == pooled
        assert {name: "options" not in options for name, (options, _) in found.items()} == pooled


def test_a_connection_that_would_wait_for_ever_or_oversell_is_not_ready(api):
    assert api.get("/readyz").status_code == 200
    with transaction.atomic(), connection.cursor() as cursor:
        # For this transaction alone: through a pooler, the next one on this connection is somebody else's.
        cursor.execute("SET LOCAL lock_timeout = 0; SET LOCAL default_transaction_isolation = 'repeatable read'")
        answer = api.get("/readyz")

    assert answer.status_code == 503
    assert "default_transaction_isolation is repeatable read, lock_timeout is 0" in answer.json()["detail"]
