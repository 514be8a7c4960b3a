"""The kill test, as `make chaos` and `make mutants` run it, each in a process of its own."""

import re
import shutil
import subprocess
import sys
import time
from contextlib import suppress

import psutil
import pytest

from benchmarks import ROOT
from tests.chaos.proxy import Frontend


def run(module: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=400)
    print(done.stdout, done.stderr)
    return done


@pytest.mark.long
def test_a_minute_of_faults_breaks_no_promise(tmp_path):
    page = tmp_path / "chaos.html"

    done = run("tests.chaos", "--seconds", "60", "--report", str(page))

    assert done.returncode == 0, done.stdout[-3000:]
    faults, kinds = re.search(r"0 promises broken.* (\d+) faults of (\d+) kinds", done.stdout).groups()
    assert int(faults) >= 20
    assert int(kinds) >= 8
    assert "nothing lost, nothing oversold" in page.read_text()


@pytest.mark.long
def test_a_planted_bug_is_found():
    """One of those that `make mutants` plants, so that a kill test that has gone blind fails here."""
    done = run("tests.chaos.mutation", "forgetful_keys")

    assert "Score: 1 of 1" in done.stdout


@pytest.mark.long
def test_a_run_that_is_told_to_stop_leaves_nothing_running():
    command = [sys.executable, "-m", "tests.chaos", "--seconds", "60"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as running:
        folder = re.search(r"in (\S+) until", running.stdout.readline())[1]
        assert "The shop is up" in running.stdout.readline()
        time.sleep(3)  # faults and clients are at work
        running.terminate()
        running.wait(timeout=60)  # not for its output to end, which its clients would hold open

        left = [line for line in map(command_line, psutil.process_iter()) if folder in line]

    assert running.returncode == 1
    assert left == []
    shutil.rmtree(folder)


def command_line(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return " ".join([*process.cmdline(), *process.environ().values()])
    return ""


STARTUP = b"\0\0\0\x08\0\x03\0\0"


def message(text: bytes) -> bytes:
    return b"Q" + (len(text) + 5).to_bytes(4) + text + b"\0"


@pytest.mark.parametrize(
    ("pieces", "found"),
    [
        ([STARTUP + message(b"COMMIT")], [True]),
        ([STARTUP, message(b"BEGIN") + message(b"COMMIT")], [False, True]),
        ([STARTUP, message(b"COMMIT")[:3], message(b"COMMIT")[3:]], [False, False, True]),
        ([STARTUP, message(b"SELECT 'COMMIT'")], [False, False]),
        ([STARTUP, message(b"ROLLBACK"), message(b"commit")], [False, False, True]),
    ],
)
def test_the_proxy_finds_commits_wherever_the_stream_is_cut(pieces, found):
    frontend = Frontend()

    assert [frontend.commits(piece) for piece in pieces] == found
