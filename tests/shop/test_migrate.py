"""`manage.py migrate` on a shop that is open, and whether our migrations may be run on one."""

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

import psycopg
import pytest
from django.apps import apps
from django.conf import settings
from django.contrib.auth.models import Group, Permission
from django.core.management import CommandError, call_command
from django.db import connection, migrations
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader

from benchmarks import ROOT
from tests import factories
from tests.conftest import environment, fetch, wait_until
from users import models as user_models

SQUAWK = Path(sys.executable).with_name("squawk")
# Those that make the tables of a shop that nobody has opened yet; add none here.
FIRST = {
    "shop": "0001", "toolkit": "0001", "users": "0001", "products": "0001", "orders": "0002", "inventory": "0005",
}  # fmt: skip
# Matters of taste, and what our `migrate` sees to itself.
NOT_MINDED = (
    "prefer-bigint-over-int,prefer-text-field,prefer-robust-stmts,require-lock-timeout,require-statement-timeout"
)


@pytest.fixture
def _undone(database) -> Iterator[None]:
    if settings.POOLED_BY_TRANSACTION:
        pytest.skip("a migration goes to the database itself")
    yield
    later("zero")


def later(*target: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "manage.py", "migrate", "--settings", "tests.later.settings", "later", *target]
    return subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True)


@contextmanager
def held_up(target: str, *, by: str) -> Iterator[list[subprocess.CompletedProcess[str]]]:
    """Migrate while somebody else has done `by` in a transaction that is open; yield what is there in the end."""
    done: list[subprocess.CompletedProcess[str]] = []
    migrating = threading.Thread(target=lambda: done.append(later(target)))
    with psycopg.connect(environment()["DATABASE_URL"]) as user:
        user.execute(by)
        migrating.start()
        yield done
        wait_until(lambda: not fetch("SELECT 1 FROM pg_locks WHERE NOT granted"), seconds=5)
    migrating.join()


@pytest.mark.usefixtures("_undone")
def test_it_lets_those_go_first_who_use_the_table_and_tries_again():
    with held_up("0001", by="SELECT 1 FROM inventory_stock") as done:
        wait_until(lambda: bool(fetch("SELECT 1 FROM pg_locks WHERE NOT granted")), seconds=20)
        began = time.monotonic()
        fetch("SELECT count(*) FROM inventory_stock")  # waits behind the migration
        assert time.monotonic() - began < 2.5

    assert done[0].returncode == 0, done[0].stderr
    assert "A table is in use (attempt 1 of 60)" in done[0].stderr
    assert fetch("SELECT count(*) FROM information_schema.columns WHERE column_name = 'shelf'") == [(1,)]


@pytest.mark.long
@pytest.mark.usefixtures("_undone")
def test_an_index_that_was_given_up_half_way_is_made_anew():
    later("0001")
    with held_up("0002", by="LOCK TABLE orders_order IN ROW EXCLUSIVE MODE") as done:
        wait_until(lambda: bool(fetch("SELECT 1 FROM pg_index WHERE NOT indisvalid")), seconds=20)
        wait_until(lambda: bool(fetch("SELECT 1 FROM pg_locks WHERE NOT granted")), seconds=20)

    assert done[0].returncode == 0, done[0].stderr
    assert fetch("SELECT indisvalid FROM pg_index WHERE indexrelid = 'later_order_total'::regclass") == [(True,)]


@pytest.mark.long
@pytest.mark.usefixtures("_undone")
def test_two_at_once_are_one_after_the_other():
    done: list[subprocess.CompletedProcess[str]] = []
    both = [threading.Thread(target=lambda: done.append(later())) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()

    assert [one.returncode for one in done] == [0, 0], [one.stderr for one in done]
    assert sum("Applying later.0001_column" in one.stdout for one in done) == 1


def test_what_it_sets_for_itself_is_gone_afterwards(database):
    before = fetch("SELECT current_setting('lock_timeout'), current_setting('statement_timeout')")
    call_command("migrate", stdout=StringIO())
    assert fetch("SELECT current_setting('lock_timeout'), current_setting('statement_timeout')") == before
    assert fetch("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [(0,)]


def test_our_migrations_may_be_run_on_an_open_shop(database):
    loader = MigrationLoader(connection)
    found = [
        f"{app} {name}: {fault}"
        for app, name in sorted(loader.disk_migrations)
        if app in FIRST and name[:4] > FIRST[app]
        for fault in faults(sql_of(app, name))
    ]
    assert found == []
    assert [name for name in loader.disk_migrations if is_tried_again_in_vain(loader.disk_migrations[name])] == []
    assert set(FIRST) <= {config.label for config in apps.get_app_configs()}


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("CREATE INDEX i ON inventory_stock (on_hand);", "require-concurrent-index-creation"),
        ("ALTER TABLE inventory_stock ADD CONSTRAINT c CHECK (on_hand > 0);", "constraint-missing-not-valid"),
        ("ALTER TABLE inventory_stock DROP COLUMN on_hand;", "ban-drop-column"),
        ('BEGIN; ALTER TABLE t DROP CONSTRAINT "c"; COMMIT;', "ban-drop-constraint"),
        (
            'BEGIN; ALTER TABLE t DROP CONSTRAINT "c", ADD CONSTRAINT "d" CHECK (x > 1) NOT VALID; COMMIT;',
            "ban-drop-constraint",
        ),
        ("ALTER TABLE inventory_stock RENAME COLUMN on_hand TO x;", "renaming-column"),
        ("ALTER TABLE inventory_stock ALTER COLUMN on_hand TYPE bigint;", "changing-column-type"),
        ("ALTER TABLE inventory_stock ADD COLUMN x int NOT NULL;", "adding-required-field"),
        (
            'ALTER TABLE t ADD COLUMN "x" text DEFAULT 1 NOT NULL; ALTER TABLE t ALTER COLUMN "x" DROP DEFAULT;',
            "db_default",
        ),
    ],
)
def test_an_unsafe_one_is_found(statement, fault):
    assert fault in str(faults(statement))


def test_a_safe_one_is_not(database):
    assert faults("CREATE INDEX CONCURRENTLY i ON inventory_stock (on_hand);") == []
    assert faults("BEGIN; ALTER TABLE inventory_stock ADD COLUMN x text NOT NULL DEFAULT ''; COMMIT;") == []
    widened = 'ALTER TABLE t DROP CONSTRAINT "c"; ALTER TABLE t ADD CONSTRAINT "c" CHECK (x IN (1, 2)) NOT VALID;'
    assert faults(f"BEGIN; {widened} COMMIT;") == []


def is_tried_again_in_vain(migration: migrations.Migration) -> bool:
    """Tell whether a migration that is given up half-way would begin with what it has done already."""
    return not migration.atomic and migration.app_label in FIRST and len(migration.operations) > 1


def sql_of(app: str, name: str) -> str:
    said = StringIO()
    call_command("sqlmigrate", app, name, stdout=said)
    return said.getvalue()


def faults(statements: str) -> list[str]:
    """Return what of these statements would stop an open shop, or break the release before this one."""
    command = [
        SQUAWK,
        "--reporter=json",
        f"--exclude={NOT_MINDED}",
        "--stdin-filepath=migration.sql",
    ]
    said = subprocess.run(command, input=statements, capture_output=True, text=True).stdout
    found = [f"{fault['rule_name']}: {fault['message']}" for fault in json.loads(said)]
    if set(re.findall(r'DROP CONSTRAINT "(\w+)"', statements)) <= set(replaced_by(statements)):
        found = [fault for fault in found if not fault.startswith("ban-drop-constraint")]
    # What Django makes of a default that only Python knows: the release before writes rows without the column.
    if re.search(r"ADD COLUMN .* NOT NULL.*DROP DEFAULT", statements, re.DOTALL):
        found.append("A new column that must be given needs a db_default, for those who do not know it yet.")
    return found


def replaced_by(statements: str) -> list[str]:
    """Return the constraints that are added anew in the same transaction, so that they guard all the time."""
    if not statements.startswith("BEGIN;"):
        return []
    return re.findall(r'ADD CONSTRAINT "(\w+)" CHECK .* NOT VALID', statements)


@pytest.fixture
def _as_before_the_permission(database) -> Iterator[None]:
    MigrationExecutor(connection).migrate([("shop", "0002_verdict"), ("orders", "0002_one_way")])
    yield
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())
    Group.objects.filter(name="Night shift").delete()


@pytest.mark.usefixtures("_as_before_the_permission")
def test_who_could_confirm_orders_before_still_may():
    change = Permission.objects.get(codename="change_order")
    Permission.objects.filter(codename="confirm_order").delete()
    Group.objects.create(name="Night shift").permissions.add(change)
    one, other = (user_models.User.objects.get(pk=factories.user(is_staff=True).id) for _ in range(2))
    one.user_permissions.add(change)

    call_command("migrate", verbosity=0)

    with_it = Group.objects.filter(permissions__codename="confirm_order")
    assert set(with_it.values_list("name", flat=True)) == {"Night shift", "Order desk", "Payments"}
    again = {row.pk: user_models.User.objects.get(pk=row.pk).has_perm("orders.confirm_order") for row in (one, other)}
    assert again == {one.pk: True, other.pk: False}


@pytest.mark.usefixtures("_undone")
def test_a_time_zone_that_the_database_does_not_know_is_refused(monkeypatch):
    monkeypatch.setattr(settings, "TIME_ZONE", "Mars/Olympus")
    with pytest.raises(CommandError, match="Mars/Olympus"):
        call_command("migrate", verbosity=0)


@pytest.mark.usefixtures("_undone")
def test_one_that_was_interrupted_before_it_was_recorded_is_done_again():
    """An index that is built beside the shop is no part of the transaction that records its migration."""
    # With those that depend on them.
    left = {"orders": "0005", "products": "0008", "shop": "0004"}
    for app, first in left.items():
        assert fetch("DELETE FROM django_migrations WHERE app = %s AND name >= %s RETURNING 1", app, first)

    call_command("migrate", verbosity=0)

    names = ["orders_unpaid", "products_by_words"]
    assert fetch("SELECT count(*) FROM pg_indexes WHERE indexname = ANY (%s)", names) == [(2,)]
    loader = MigrationLoader(connection)
    assert set(loader.disk_migrations) == set(loader.applied_migrations)


def test_every_index_that_is_written_as_sql_may_be_there_already():
    steps = [step for migration in MigrationLoader(None).disk_migrations.values() for step in steps_of(migration)]
    written = [step.sql for step in steps if isinstance(step, migrations.RunSQL)]
    made = [text for text in written if isinstance(text, str) and re.match(r"CREATE.* INDEX CONCURRENTLY", text)]
    assert len(made) == 3
    assert [text for text in made if "IF NOT EXISTS" not in text] == []


def steps_of(migration: migrations.Migration) -> list:
    return [inner for step in migration.operations for inner in getattr(step, "database_operations", [step])]
