"""`manage.py run` under signals, from the first import on."""

import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from benchmarks import free_port
from tests.conftest import wait_until
from tests.shop.running import SECONDS, Running, new_house, processes_of


@pytest.fixture(scope="module")
def house() -> Iterator[Path]:
    with new_house() as folder:
        yield folder


# In seconds of processor time, so that a busy machine changes nothing: while it imports, and later. Python's own start
# takes about 0.03; a SIGINT before the first line of manage.py is Python's to answer.
@pytest.mark.parametrize("moment", [0.1, 0.4, 1.2])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_at_any_time_stops_everything(house, number, moment):
    running = Running(house, free_port())
    process = psutil.Process(running.process.pid)
    wait_until(lambda: sum(process.cpu_times()[:2]) > moment or "Ctrl-C" in running.output(), seconds=SECONDS)

    running.process.send_signal(number)
    code = running.process.wait(SECONDS)

    wait_until(lambda: processes_of(house) == [], seconds=SECONDS)
    assert code in (-number, 128 + number, 0)
    assert "Traceback" not in running.output()


def test_signals_that_were_ignored_from_the_start_stay_ignored(house):
    """A script's background job ignores SIGINT, and what nohup started ignores SIGHUP."""
    command = ["sh", "-c", "trap '' INT HUP; exec \"$@\"", "sh", sys.executable, "manage.py", "run"]
    running = Running(house, free_port(), command=command)
    process = psutil.Process(running.process.pid)
    wait_until(lambda: process.cmdline()[-2:] == ["manage.py", "run"] and process.name() != "sh", seconds=SECONDS)
    for _ in range(20):
        running.process.send_signal(signal.SIGINT)
        time.sleep(0.05)
    running.wait_for_banner()

    running.process.send_signal(signal.SIGINT)
    running.process.send_signal(signal.SIGHUP)
    time.sleep(1)
    assert httpx.get(f"{running.base}/healthz").status_code == 200

    running.process.terminate()
    assert running.process.wait(SECONDS) == 0
    assert processes_of(house) == []
