"""A shop that an earlier version filled migrates to this one, with every row, and its books are right."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import psycopg
import pytest

from benchmarks import ROOT, server_arguments
from shop.local import embedded

DUMPS = sorted(Path(__file__).parent.glob("shop-*.dump"))
OURS = re.compile(r"(inventory|orders|products|users|shop|toolkit)_")

pytestmark = pytest.mark.long


@pytest.fixture(params=DUMPS, ids=[dump.stem for dump in DUMPS])
def earlier(request) -> Iterator[str]:
    """The address of a shop as that version left it, on a server that keeps what it acknowledges."""
    folder = Path(mkdtemp(prefix="shop-"))
    folder.chmod(0o711)  # PostgreSQL's account passes through
    with embedded.server(folder) as url:
        program = [embedded.BIN / "pg_restore", *server_arguments(url), "--no-owner", "--exit-on-error"]
        subprocess.run([*program, f"--dbname={url.rsplit('/', 1)[1]}", request.param], check=True)
        yield url
    shutil.rmtree(folder, ignore_errors=True)


def manage(url: str, *arguments: str) -> str:
    environment = {
        **os.environ, "DATABASE_URL": url, "SECRET_KEY": "of-these-tests-and-long-enough-for-them", "HTTPS": "off",
        "DATABASE_POOLER": "none",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rows(url: str) -> dict[str, int]:
    """Return how many rows each of our tables has."""
    with psycopg.connect(url) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        ours = sorted(name for (name,) in tables if OURS.match(name))
        return {name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in ours}


def test_a_filled_shop_migrates_and_sells_on(earlier):
    before = rows(earlier)

    manage(earlier, "migrate", "-v0")

    after = rows(earlier)
    assert {name: after.get(name) for name in before} == before
    manage(earlier, "verify_stock")
    manage(earlier, "prove_stock", "--buyers", "10", "--stock", "5")


def test_the_dump_has_rows_of_every_kind(earlier):
    empty = {name for name, count in rows(earlier).items() if not count}
    # Rights come by groups, and a reset is gone once its mail is taken.
    assert empty <= {"users_user_user_permissions", "users_passwordreset"}, empty
