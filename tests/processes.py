"""A pytest plugin, named in pyproject.toml, for the processes that tests start.

SIGINT and SIGHUP reach them however the tests were started, and none outlives a test that failed.
"""

import gc
import os
import signal
import subprocess
from contextlib import suppress
from uuid import uuid4

import psutil
import pytest

RUN = "SHOP_TESTS_RUN"


def pytest_configure() -> None:
    os.environ[RUN] = uuid4().hex  # others may run the same tests on this machine
    # A script that starts the tests in its background has SIGINT ignored for them, nohup SIGHUP, and every process
    # inherits that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> pytest.TestReport:
    """Kill what a failed test has left running, before its fixtures are torn down: they may wait for its locks."""
    report: pytest.TestReport = yield
    if report.when == "call" and report.failed:
        _kill(f"{item.nodeid} (call)")
    return report


def _kill(started_in: str) -> None:
    # pytest names the test that runs in the environment, which all of its processes inherit, orphans too.
    wanted = {RUN: os.environ[RUN], "PYTEST_CURRENT_TEST": started_in}
    left = [process for process in psutil.process_iter() if wanted.items() <= _environment(process).items()]
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    killed = {process.pid for process in left}
    for found in gc.get_objects():
        # Else it warns, in whichever test runs when it is collected, of a process that nobody waited for.
        if issubclass(type(found), subprocess.Popen) and found.pid in killed:  # not `isinstance`: proxies may be dead
            found.wait()
    psutil.wait_procs(left, timeout=10)


def _environment(process: psutil.Process) -> dict[str, str]:
    with suppress(psutil.Error):
        return process.environ()
    return {}
