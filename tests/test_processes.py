"""What tests start: SIGINT reaches it, and it ends with a test that fails."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from types import SimpleNamespace

import psutil

from tests import alone, processes

ENDLESS = ["sh", "-c", "sleep 60 & wait"]


def test_sigint_reaches_what_a_test_starts():
    code = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "True\n"
    assert signal.getsignal(signal.SIGINT) is not signal.SIG_IGN


def test_what_a_failed_test_started_is_killed_and_what_others_started_is_not():
    ours = {**os.environ, "PYTEST_CURRENT_TEST": "tests/test_x.py::test_failed (call)"}
    theirs = {**os.environ, "PYTEST_CURRENT_TEST": "tests/test_x.py::test_failed (setup)"}
    left = subprocess.Popen(ENDLESS, env=ours, start_new_session=True)
    other = subprocess.Popen(ENDLESS, env=theirs, start_new_session=True)
    anothers = subprocess.Popen(ENDLESS, env={**ours, processes.RUN: "another"}, start_new_session=True)
    try:
        (child,) = children_of(left)

        processes._kill("tests/test_x.py::test_failed (call)")

        assert left.returncode == -signal.SIGKILL  # waited for, so that nobody is warned of it later
        assert not child.is_running()
        for one in (other, anothers):
            assert one.poll() is None
            assert len(children_of(one)) == 1
    finally:
        for one in (other, anothers):
            os.killpg(one.pid, signal.SIGKILL)
            one.wait()


def children_of(process: "subprocess.Popen[bytes]") -> list[psutil.Process]:
    while not (found := psutil.Process(process.pid).children()):
        pass
    return found


def test_whoever_is_alone_waits_for_others_and_nobody_begins_meanwhile(tmp_path):
    began = {name: threading.Event() for name in ("first", "alone", "next")}

    def run(name: str) -> Iterator[None]:
        marker = object() if name == "alone" else None
        config = SimpleNamespace(workerinput={"turns": str(tmp_path)})
        return alone.pytest_runtest_protocol(SimpleNamespace(config=config, get_closest_marker=lambda _: marker))

    def begin(name: str) -> Iterator[None]:
        turn = run(name)
        next(turn)
        began[name].set()
        return turn

    first = begin("first")
    second = begin("first")
    turns: list[Iterator[None]] = []
    waiting = [threading.Thread(target=lambda name=name: turns.append(begin(name))) for name in ("alone", "next")]
    waiting[0].start()
    first.close()
    assert not began["alone"].wait(0.2)  # the second is still at work
    waiting[1].start()
    assert not began["next"].wait(0.2)
    second.close()
    assert began["alone"].wait(5)
    assert not began["next"].wait(0.2)
    turns[0].close()
    assert began["next"].wait(5)
    turns[1].close()
