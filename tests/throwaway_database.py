"""A pytest plugin, named in pyproject.toml: without DATABASE_URL the tests run on a PostgreSQL of their own.

It comes before pytest-django reads the settings, and is gone when the tests end. Where pytest-xdist runs tests in
several processes, each has a server of its own.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from shop.local import embedded

_servers = ExitStack()


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    # The application's two keys, never a user's: tests sign nothing that anybody else trusts.
    os.environ["SECRET_KEY"] = "tests-secret-key-tests-secret-key-tests-secret-key"
    os.environ["JWT_SIGNING_KEY"] = "tests-signing-key-tests-signing-key-tests-signing-key"
    # Tests change the database's name and count threads of their own; the server they start has its pool.
    os.environ["HTTPS"] = "off"
    os.environ["LOG_FORMAT"] = "line"
    os.environ["DATABASE_POOL_SIZE"] = "0"
    if not os.environ.get("DATABASE_URL"):
        os.environ["DATABASE_URL"] = _servers.enter_context(embedded.throwaway())
        early_config.pluginmanager.register(_ServerForEach())


class _ServerForEach:
    """Gives every process of pytest-xdist but the first a server of its own; the first has that of this process."""

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_setupnodes(self, specs: list[Any]) -> None:
        for spec in specs[1:]:
            spec.env["DATABASE_URL"] = _servers.enter_context(embedded.throwaway())


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_unconfigure(config: pytest.Config) -> Iterator[None]:
    try:
        return (yield)
    finally:
        _servers.close()
