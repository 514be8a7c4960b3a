"""DATABASE_POOLER=transaction: what PgBouncer must be told, and what happens when it was not. `make test-pooled` runs
all tests through one."""

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


def test_nothing_is_sent_or_kept_that_a_pooler_would_drop():
    code = (
        "from shop.settings import DATABASES; found = DATABASES['default'];"
        "print(found['OPTIONS'], found['DISABLE_SERVER_SIDE_CURSORS'])"
    )
    environment = {
        "PATH": os.environ["PATH"],
        "SECRET_KEY": os.environ["SECRET_KEY"],
        "DATABASE_URL": "postgres://u@h/d",
        "DATABASE_POOLER": "transaction",
    }
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)

    assert "'prepare_threshold': None" in said.stdout
    assert "'options'" not in said.stdout
    assert said.stdout.endswith(" True\n")


def test_a_connection_that_would_wait_for_ever_or_oversell_is_not_ready(api):
    assert api.get("/readyz").status_code == 200
    with transaction.atomic(), connection.cursor() as cursor:
        # For this transaction alone: through a pooler, the next one on this connection is somebody else's.
        cursor.execute("SET LOCAL lock_timeout = 0; SET LOCAL default_transaction_isolation = 'repeatable read'")
        answer = api.get("/readyz")

    assert answer.status_code == 503
    assert "default_transaction_isolation is repeatable read, lock_timeout is 0" in answer.json()["detail"]
