"""The embedded PostgreSQL: where it may live, and who may not come between."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from shop.local import embedded


@pytest.fixture
def folder() -> Iterator[Path]:
    # Not under pytest's own temporary folder, which is private: as root, PostgreSQL's account must pass through.
    made = Path(tempfile.mkdtemp(prefix="shop-embedded-"))
    made.chmod(0o711)
    yield made
    shutil.rmtree(made)


def test_a_socket_folder_that_others_made_first_is_refused(folder, tmp_path):
    deep = folder / ("long" * 25)
    deep.mkdir()
    cluster = embedded.Cluster(deep / "postgres")
    assert len(str(cluster.sockets)) < 40
    cluster.sockets.symlink_to(tmp_path)
    try:
        with pytest.raises(embedded.EmbeddedError, match="not a private folder"), embedded.server(deep):
            pass
    finally:
        cluster.sockets.unlink()
    with embedded.server(deep) as url, psycopg.connect(url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    cluster.sockets.rmdir()


def test_a_server_that_is_recovering_is_waited_for(folder):
    """Somebody comes a moment after one of PostgreSQL's processes was killed, and it takes nobody in."""
    cluster = embedded.Cluster(folder / "postgres")
    cluster.ensure_running()
    try:
        for _ in range(3):
            with psycopg.connect(cluster.url) as connection:
                psutil.Process(connection.info.backend_pid).kill()
                time.sleep(0.01)
                cluster.ensure_running()
            with psycopg.connect(cluster.url) as connection:
                assert connection.execute("SELECT 1").fetchone() == (1,)
    finally:
        cluster.stop()


@pytest.mark.parametrize("name", ["a b", "a'b", "a,b", "ü"])
def test_a_folder_may_have_an_odd_name(folder, name):
    odd = folder / name
    odd.mkdir()
    with embedded.server(odd) as url, psycopg.connect(url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_folder_that_a_shell_would_misread_is_refused(folder):
    with pytest.raises(embedded.EmbeddedError, match="its path has"):
        embedded.Cluster(folder / "a$HOME" / "postgres")


def test_a_generated_key_is_made_once_and_whole(folder):
    secret = embedded._kept_secret(folder / "secret_key")

    assert len(secret) >= 50
    assert embedded._kept_secret(folder / "secret_key") == secret
    assert [path.name for path in folder.iterdir()] == ["secret_key"]
