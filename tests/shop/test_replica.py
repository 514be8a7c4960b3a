"""DATABASE_REPLICA_URL: what is only shown comes from a replica, what is decided does not."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from benchmarks import ROOT, await_answer, free_port, production_server, psql, running, server_arguments
from shop import serving
from shop.local import embedded
from tests.conftest import wait_until
from tests.shop.metric_samples import TOKEN, sample

DIRECT = {"DATABASE_POOLER": "none"}
STAFF = {"email": "admin@example.com", "password": "nine lives of a cat"}


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[str, str]]:
    """A primary with a migrated database, and a replica that follows it."""
    folder = Path(tempfile.mkdtemp(prefix="shop-replica-"))
    folder.chmod(0o711)
    try:
        with embedded.server(folder / "a", settings=embedded.THROWAWAY_SETTINGS) as primary:
            environment = {
                **os.environ,
                **DIRECT,
                "DATABASE_URL": primary,
                "DJANGO_SUPERUSER_PASSWORD": STAFF["password"],
            }
            for command in (["migrate", "-v0"], ["createsuperuser", "--noinput", "--email", STAFF["email"]]):
                subprocess.run([sys.executable, "manage.py", *command], cwd=ROOT, env=environment, check=True)
            with _following(primary, folder / "b") as replica:
                yield primary, replica
    finally:
        shutil.rmtree(folder)


@contextmanager
def _following(primary: str, folder: Path) -> Iterator[str]:
    folder.mkdir(mode=0o711)
    cluster = embedded.Cluster(folder / "postgres", settings=embedded.THROWAWAY_SETTINGS)
    if cluster.account:
        os.chown(folder, cluster.account.uid, cluster.account.gid)
    copy = ["-D", str(cluster.data), "--checkpoint=fast", "--write-recovery-conf", *server_arguments(primary)]
    cluster._call("pg_basebackup", *copy)
    (cluster.data / ".s.PGSQL.5432.lock").unlink()  # the primary's socket is in its data folder
    with embedded.server(folder, settings=embedded.THROWAWAY_SETTINGS) as url:
        yield url


def send(base: str, path: str, body: dict[str, Any], token: str = "") -> httpx.Response:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return httpx.post(f"{base}/api/v1{path}", json=body, headers=headers)


def create(base: str, token: str, sku: str) -> dict[str, Any]:
    """Create a product of three units, and return it."""
    stock = [{"warehouse": "MAIN", "quantity": 3}]
    new = {"sku": sku, "name": sku, "price": "9.90", "currency": "EUR", "initial_stock": stock}
    found: dict[str, Any] = send(base, "/products", new, token).json()
    return found


def available(base: str, product_id: int) -> int:
    """Return what customers are shown, -1 where there is no such product yet."""
    answer = httpx.get(f"{base}/api/v1/inventory/check?product_id={product_id}")
    return int(answer.json()["available_quantity"]) if answer.status_code == 200 else -1


def test_what_is_shown_comes_from_the_replica_and_what_is_decided_does_not(pair):
    primary, replica = pair
    with (
        psycopg.connect(replica, autocommit=True) as follower,
        production_server(**DIRECT, DATABASE_URL=primary, DATABASE_REPLICA_URL=replica) as base,
    ):
        token = send(base, "/auth/token", STAFF).json()["access"]
        product_id = create(base, token, "JUG")["id"]
        wait_until(lambda: available(base, product_id) == 3, seconds=5)
        follower.execute("SELECT pg_wal_replay_pause()")
        wish = {"items": [{"product_id": product_id, "quantity": 2}]}
        assert send(base, "/orders", wish, token).status_code == 201
        assert available(base, product_id) == 3  # the replica stands still
        refused = send(base, "/orders", wish, token)
        assert refused.json()["shortages"] == [{"product_id": product_id, "requested": 2, "available": 1}]

        create(base, token, "MUG")
        assert [row["sku"] for row in httpx.get(f"{base}/api/v1/products").json()["results"]] == ["JUG"]
        headers = {"authorization": f"Bearer {token}"}
        listed = httpx.get(f"{base}/api/v1/products", headers=headers).json()["results"]
        assert [row["sku"] for row in listed] == ["JUG", "MUG"]  # staff see what they have just written

        follower.execute("SELECT pg_wal_replay_resume()")
        wait_until(lambda: available(base, product_id) == 1, seconds=5)


@pytest.mark.long
def test_a_replica_that_is_far_behind_is_not_shown(pair):
    primary, replica = pair
    given = {"DATABASE_REPLICA_MAX_LAG_SECONDS": "1", "METRICS_TOKEN": TOKEN}
    with (
        psycopg.connect(replica, autocommit=True) as follower,
        production_server(**DIRECT, **given, DATABASE_URL=primary, DATABASE_REPLICA_URL=replica) as base,
    ):

        def lag() -> float | None:
            text = httpx.get(f"{base}/metrics", headers={"authorization": f"Bearer {TOKEN}"}).text
            return sample(text, "shop_replica_lag_seconds")

        token = send(base, "/auth/token", STAFF).json()["access"]
        wait_until(lambda: lag() == 0, seconds=5)
        follower.execute("SELECT pg_wal_replay_pause()")
        product_id = create(base, token, "BOWL")["id"]
        assert available(base, product_id) == -1
        wait_until(lambda: (lag() or 0) > 1, seconds=5)
        # By now each process has looked, or does so when it is asked.
        wait_until(lambda: {available(base, product_id) for _ in range(20)} == {3}, seconds=5)

        follower.execute("SELECT pg_wal_replay_resume()")
        wait_until(lambda: lag() == 0, seconds=5)


@pytest.mark.long
def test_a_replica_that_is_gone_leaves_the_primary(pair):
    primary, replica = pair
    nowhere = replica.replace("/shop", "/gone")
    psql(primary, "SELECT 1")
    with production_server(**DIRECT, DATABASE_URL=primary, DATABASE_REPLICA_URL=nowhere) as base:
        answers = [httpx.get(f"{base}/api/v1/products", timeout=10) for _ in range(20)]

    assert {answer.status_code for answer in answers} == {200}
    # Each of two workers has waited for it once.
    assert sum(answer.elapsed.total_seconds() > 1 for answer in answers) <= 2


@pytest.mark.long
def test_without_a_primary_the_replica_is_shown_and_nobody_waits_for_long(pair):
    primary, replica = pair
    nowhere = primary.replace("/shop", "/gone")
    port = free_port()
    url = f"http://127.0.0.1:{port}/api/v1/inventory/check?product_id=1"
    environment = {**DIRECT, "DATABASE_URL": nowhere, "DATABASE_REPLICA_URL": replica, "DATABASE_POOL_SIZE": "2"}
    answers = []
    with running(serving.command(port=port), **environment) as server:
        await_answer(server, f"http://127.0.0.1:{port}/healthz")
        for _ in range(8):  # for longer than it takes until the replica is looked at again
            answers.append(httpx.get(url, timeout=10))
            time.sleep(0.4)

    assert {answer.status_code for answer in answers} == {200}
    # Each of two workers has asked it once how far it has written.
    assert 1 <= sum(answer.elapsed.total_seconds() > 1 for answer in answers) <= 2
