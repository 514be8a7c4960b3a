"""Connections of the pool that the server has ended are not handed out."""

import httpx
import pytest
from django.conf import settings

from tests import factories
from tests.conftest import fetch, wait_until

pytestmark = pytest.mark.skipif(settings.POOLED_BY_TRANSACTION, reason="the pooler's connections are not the pool's")

OTHERS = """
SELECT pid FROM pg_stat_activity
 WHERE datname = current_database() AND application_name = 'shop' AND backend_type = 'client backend'
   AND pid <> pg_backend_pid()
"""


def test_requests_after_the_server_ended_all_connections_are_answered(server):
    product = factories.product(stock=5)
    check = f"{server}/api/v1/inventory/check?product_id={product.id}"
    for _ in range(20):
        assert httpx.get(check).status_code == 200
    ended = fetch(f"SELECT count(*), bool_and(pg_terminate_backend(pid)) FROM ({OTHERS}) other")
    assert ended[0][0] >= 2
    assert ended[0][1] is True
    wait_until(lambda: not fetch(OTHERS), seconds=5)

    assert [httpx.get(check).status_code for _ in range(20)] == [200] * 20
