"""A pytest plugin, named in pyproject.toml: a test that is marked `alone` runs while no other process runs one.

Threads that race each other need the processors, or what they are to meet never happens. Where pytest-xdist runs tests
in several processes, each test holds a lock: shared, or by itself when it is marked.
"""

import fcntl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

_folder = tempfile.TemporaryDirectory(prefix="shop-tests-")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput["turns"] = _folder.name


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    turns = getattr(item.config, "workerinput", {}).get("turns")
    if turns is None:
        return (yield)
    alone = item.get_closest_marker("alone") is not None
    with _locked(Path(turns) / "running") as running:
        with _locked(Path(turns) / "next", fcntl.LOCK_EX):  # whoever is to be alone keeps others from beginning
            fcntl.flock(running, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        return (yield)


@contextmanager
def _locked(path: Path, kind: int = fcntl.LOCK_UN) -> Iterator[Any]:
    with path.open("ab") as file:
        fcntl.flock(file, kind)
        yield file
