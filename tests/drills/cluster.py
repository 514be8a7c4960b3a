"""Three PostgreSQL servers that take each other's place: Patroni decides who leads, etcd keeps the decision.

All on one machine, each node with a data folder and ports of its own. An acknowledged write is on two nodes: commits
wait until a second node has them on disk (`synchronous_mode`), also when there is none (`synchronous_mode_strict`).
`synchronous_commit` is "on": `remote_apply` would let whoever was answered read it on the second node at once, and is
not needed for keeping it.
"""

import json
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

import httpx
import psutil
import psycopg

from benchmarks import ROOT, free_port
from shop.local import embedded
from tests.chaos.database import kill_at_once

PATRONI = ROOT / ".venv-drills" / "bin" / "patroni"
DEBIANS_POSTGRESQL = Path("/usr/lib/postgresql")
NODES = ("a", "b", "c")
# The least that Patroni takes is a leader that may be silent for 20 seconds. Whoever else asks does so every second.
TTL, LOOP_WAIT, RETRY_TIMEOUT = 20, 1, 5
START_SECONDS, HEAL_SECONDS = 90, 90
SETTINGS = {
    "max_connections": 60,
    "shared_buffers": "64MB",
    "synchronous_commit": "on",
    "logging_collector": "on",
    "log_filename": "postgresql.log",
    "log_rotation_age": 0,
    "log_rotation_size": 0,
    "log_line_prefix": "%m [%p] %q%a ",
}

T = TypeVar("T")


class Missing(Exception):
    """A program that the drill needs is not there; the message tells what to install."""


@dataclass(frozen=True)
class Programs:
    """Where the programs are that a cluster consists of."""

    etcd: str
    postgresql: Path
    patroni: Path


def programs() -> Programs:
    """Return where the programs are. Raises Missing."""
    etcd = shutil.which("etcd")
    if not etcd:
        raise Missing("etcd is missing: `apt install etcd-server`.")
    found = sorted(DEBIANS_POSTGRESQL.glob("*/bin"), key=lambda path: float(path.parent.name))
    if not found or not (found[-1] / "postgres").exists():
        raise Missing("Debian's PostgreSQL is missing: `apt install postgresql`.")
    if not PATRONI.exists():
        raise Missing("Patroni is missing: `make drill-failover` installs it into .venv-drills.")
    return Programs(etcd, found[-1], PATRONI)


class Node:
    """One PostgreSQL with the Patroni that keeps it."""

    def __init__(self, folder: Path, name: str, program: Path) -> None:
        self.name, self.folder, self.program = name, folder / f"node-{name}", program
        self.port, self.rest_port = free_port(), free_port()
        self.data = self.folder / "data"
        self.keeper: subprocess.Popen[bytes] | None = None
        self.account: dict[str, int] = {}

    @property
    def rest(self) -> str:
        return f"http://127.0.0.1:{self.rest_port}"

    def prepare(self, configuration: dict[str, Any], account: dict[str, int]) -> None:
        """Make its folder, which belongs to PostgreSQL's account."""
        self.folder.mkdir(mode=0o700)
        file = self.folder / "patroni.json"
        file.write_text(json.dumps(configuration))
        if account:
            for path in (self.folder, file):
                os.chown(path, account["user"], account["group"])
            self.account = account

    def start(self) -> None:
        """Start its Patroni, which starts its PostgreSQL."""
        with (self.folder / "patroni.log").open("ab") as output:
            self.keeper = subprocess.Popen(
                [self.program, self.folder / "patroni.json"], cwd=self.folder, start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, **self.account,
            )  # fmt: skip

    def processes(self) -> list[psutil.Process]:
        """Return all of its processes: Patroni, PostgreSQL, and whatever they have started."""
        return [process for process in psutil.process_iter() if self._is_ours(process)]

    def walsenders(self) -> list[psutil.Process]:
        """Return the processes that send what it writes to the other nodes."""
        return [process for process in self.processes() if "walsender" in _command_line(process)]

    def keepers(self) -> list[psutil.Process]:
        """Return the processes of its Patroni alone."""
        return [process for process in self.processes() if str(self.program) in _command_line(process)]

    def kill(self) -> None:
        """Kill -9 everything of it at once, as if its machine were gone."""
        while processes := self.processes():  # one that is just being started is met the next time
            kill_at_once(processes)
            if self.keeper:
                self.keeper.wait()
            psutil.wait_procs(processes, timeout=5)

    def log(self) -> str:
        """Return what its PostgreSQL has logged."""
        file = self.folder / "postgresql.log"
        return file.read_text(errors="replace") if file.exists() else ""

    def leads(self) -> bool:
        """Tell whether it says that it is the primary."""
        with suppress(httpx.HTTPError):
            return httpx.get(f"{self.rest}/primary", timeout=1).status_code == 200
        return False

    def _is_ours(self, process: psutil.Process) -> bool:
        with suppress(psutil.Error):
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            return process.cwd().startswith(str(self.folder)) or str(self.folder) in _command_line(process)
        return False


class Cluster:
    """Three nodes, and what keeps them in agreement."""

    def __init__(self, folder: Path, *, synchronous: bool) -> None:
        found = programs()
        self.folder, self.synchronous, self.found = folder, synchronous, found
        self.password = secrets.token_urlsafe(24)
        self.nodes = [Node(folder, name, found.patroni) for name in NODES]
        self.etcd_port = free_port()
        self.etcd: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where whoever writes finds the primary, whichever it is: no proxy is needed."""
        return self._url("read-write")

    @property
    def replica_url(self) -> str:
        """Where whoever only reads finds a replica, or the primary where there is none."""
        return self._url("prefer-standby")

    def start(self) -> None:
        """Start everything and wait until each node has its part. Raises TimeoutError."""
        self._start_etcd()
        account = _account(self.found)
        first, *others = self.nodes
        for node in self.nodes:
            node.prepare(self._configuration(node), account)
        first.start()
        self.await_leader()
        for node in others:
            node.start()
        self.await_health()  # before that no commit is answered
        with psycopg.connect(self._url("read-write", database="postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {embedded.DATABASE}")

    def stop(self) -> None:
        """End all of it, also what is frozen, and remove its data: it is of no use to anybody."""
        for node in self.nodes:
            node.kill()
            shutil.rmtree(node.data, ignore_errors=True)
        if self.etcd:
            self.etcd.kill()
            self.etcd.wait()
        shutil.rmtree(self.folder / "etcd", ignore_errors=True)

    def keep_up(self) -> None:
        """Nothing: Patroni keeps its PostgreSQL up, and what a drill has killed it starts again itself."""

    def log(self) -> str:
        """Return what all of them have logged."""
        return "".join(node.log() for node in self.nodes)

    def leader(self) -> Node | None:
        """Return the node that is the primary."""
        return next((node for node in self.nodes if node.leads()), None)

    def await_leader(self, *, other_than: Node | None = None) -> Node:
        """Wait until one leads, and not this one. Raises TimeoutError."""
        candidates = [node for node in self.nodes if node is not other_than]
        (found,) = until_true(
            lambda: [node for node in candidates if node.leads()][:1], START_SECONDS, "no node leads the cluster"
        )
        return found

    def await_health(self) -> None:
        """Wait until one leads and the others follow it, one of them in step. Raises TimeoutError."""
        until_true(self._is_healthy, HEAL_SECONDS, "the cluster has not healed")

    def switch_over(self, leader: Node) -> None:
        """Have another node lead, in good order. Raises HTTPError."""
        asked = httpx.post(f"{leader.rest}/switchover", json={"leader": leader.name}, timeout=START_SECONDS)
        asked.raise_for_status()

    def url_of(self, node: Node) -> str:
        """Return the URL of one node, for whoever wants that and no other."""
        query = {"password": self.password, "connect_timeout": 2}
        return f"postgres://{embedded.SUPERUSER}@127.0.0.1:{node.port}/postgres?{urlencode(query)}"

    def _url(self, attributes: str, *, database: str = embedded.DATABASE) -> str:
        query = {
            "host": ",".join("127.0.0.1" for _ in self.nodes),
            "port": ",".join(str(node.port) for node in self.nodes),
            "user": embedded.SUPERUSER,
            "password": self.password,
            "target_session_attrs": attributes,
            # A frozen server accepts connections, and says nothing: two seconds are the least that libpq takes.
            "connect_timeout": 2,
        }
        return f"postgres:///{database}?{urlencode(query, safe=',')}"

    def _is_healthy(self) -> bool:
        members: Sequence[dict[str, Any]] = []
        with suppress(httpx.HTTPError, ValueError):
            leader = self.leader()
            members = httpx.get(f"{leader.rest}/cluster", timeout=2).json()["members"] if leader else []
        states = sorted((member["role"], member["state"]) for member in members)
        second = "sync_standby" if self.synchronous else "replica"
        expected = [("leader", "running"), ("replica", "streaming"), (second, "streaming")]
        return states == sorted(expected) and len({member.get("timeline") for member in members}) == 1

    def _start_etcd(self) -> None:
        client, peer = (f"http://127.0.0.1:{port}" for port in (self.etcd_port, free_port()))
        command = [
            self.found.etcd, "--name", "etcd", "--data-dir", str(self.folder / "etcd"),
            "--listen-client-urls", client, "--advertise-client-urls", client,
            "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"etcd={peer}",
        ]  # fmt: skip
        with (self.folder / "etcd.log").open("ab") as output:
            self.etcd = subprocess.Popen(
                command, start_new_session=True, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        until_true(lambda: _answers(f"{client}/health"), START_SECONDS, "etcd does not answer")

    def _configuration(self, node: Node) -> dict[str, Any]:
        return {
            "scope": "shop",
            "name": node.name,
            "restapi": {"listen": f"127.0.0.1:{node.rest_port}", "connect_address": f"127.0.0.1:{node.rest_port}"},
            "etcd3": {"host": f"127.0.0.1:{self.etcd_port}"},
            "bootstrap": {
                "dcs": {
                    "ttl": TTL,
                    "loop_wait": LOOP_WAIT,
                    "retry_timeout": RETRY_TIMEOUT,
                    "synchronous_mode": self.synchronous,
                    "synchronous_mode_strict": self.synchronous,
                    # Without synchronous mode somebody must be allowed to lead who lacks what was acknowledged.
                    "maximum_lag_on_failover": 1 << 30,
                    "postgresql": {"use_pg_rewind": True, "parameters": SETTINGS},
                },
                "initdb": ["data-checksums", {"encoding": "UTF8"}, {"locale": "C.UTF-8"}],
            },
            "postgresql": {
                "listen": f"127.0.0.1:{node.port}",
                "connect_address": f"127.0.0.1:{node.port}",
                "data_dir": str(node.data),
                "bin_dir": str(self.found.postgresql),
                "pgpass": str(node.folder / "pgpass"),
                "parameters": {"unix_socket_directories": str(node.folder), "log_directory": str(node.folder)},
                "pg_hba": [
                    "host all all 127.0.0.1/32 scram-sha-256",
                    "host replication all 127.0.0.1/32 scram-sha-256",
                ],
                "authentication": {
                    "superuser": {"username": embedded.SUPERUSER, "password": self.password},
                    "replication": {"username": "replicator", "password": self.password},
                },
            },
        }


def _account(found: Programs) -> dict[str, int]:
    """Return the account that PostgreSQL runs as, as Popen wants it: as root one of its own, else ours."""
    if os.geteuid() != 0:
        return {}
    embedded._let_through(found.patroni.resolve())
    account = embedded._own_account()
    return {"user": account.uid, "group": account.gid}


def until_true(look: Callable[[], T], seconds: float, problem: str) -> T:
    """Return what is found as soon as something is. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{problem} after {seconds} s")
        time.sleep(0.1)
    return found


def _answers(url: str) -> bool:
    with suppress(httpx.HTTPError):
        return httpx.get(url, timeout=1).status_code == 200
    return False


def _command_line(process: psutil.Process) -> str:
    return " ".join(process.cmdline())


@contextmanager
def cluster(folder: Path, *, synchronous: bool) -> Iterator[Cluster]:
    """Yield a fresh cluster that is up; end it in the end. Raises Missing, TimeoutError."""
    found = Cluster(folder, synchronous=synchronous)
    try:
        found.start()
        yield found
    finally:
        found.stop()
