"""What the server has prepared outlives a refusal, and not a migration."""

import psycopg
import pytest
from django.conf import settings

from shop.toolkit.db.postgresql.connection import KeepingConnection, PreparedCursor
from tests.conftest import counted_statements, database_url, fetch
from users import models as user_models
from users import sql as users_sql

pytestmark = pytest.mark.skipif(settings.POOLED_BY_TRANSACTION, reason="nothing is prepared through a pooler")


@pytest.fixture
def connection(_database):
    name = fetch("SELECT current_database()")[0][0]
    with KeepingConnection.connect(database_url(name), autocommit=True, prepare_threshold=1) as connection:
        connection.execute("CREATE TEMPORARY TABLE thing (id int)")
        connection.execute("INSERT INTO thing VALUES (7)")
        yield connection


def things(connection) -> list[tuple]:
    return PreparedCursor(connection).execute("SELECT * FROM thing").fetchall()


def prepared(connection) -> list[str]:
    found = connection.execute("SELECT statement FROM pg_prepared_statements", prepare=False).fetchall()
    return [statement for (statement,) in found]


def test_a_rollback_keeps_what_is_prepared(connection):
    for _ in range(3):
        things(connection)
    connection.autocommit = False
    things(connection)
    connection.rollback()
    connection.autocommit = True
    assert prepared(connection) == ["SELECT * FROM thing"]


def test_a_table_that_has_changed_since_is_read_as_it_is_now(connection):
    for _ in range(3):
        assert things(connection) == [(7,)]
    connection.execute("ALTER TABLE thing ALTER id TYPE text")
    for _ in range(3):
        assert things(connection) == [("7",)]


def test_within_a_transaction_the_next_try_reads_it_as_it_is_now(connection):
    for _ in range(3):
        things(connection)
    connection.execute("ALTER TABLE thing ALTER id TYPE text", prepare=False)
    with pytest.raises(psycopg.errors.FeatureNotSupported), connection.transaction():
        things(connection)
    with connection.transaction():
        assert things(connection) == [("7",)]


def test_the_columns_of_a_caller_are_those_of_the_model_in_its_order():
    assert tuple(field.attname for field in user_models.User._meta.concrete_fields) == users_sql.CALLER


def test_the_caller_is_read_whole(customer):
    with counted_statements() as statements:
        assert customer.get("/api/v1/inventory/items").status_code == 403
    assert len(statements) == 1
