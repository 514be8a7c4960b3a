"""What a client did, on disk before it is sent and after it is answered: the witness that no crash can bribe.

One JSON object a line. `do` says what is asked, once; `try` that it is sent now; `got` and `lost` what came of that
attempt, in the same thread after it. Times are seconds since the epoch, of the one clock that all processes here share.
"""

import json
import os
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REUSED = "/reused"
TAIL_BYTES = 64 << 10  # more than a client writes in a second


@dataclass(frozen=True)
class Operation:
    """One request, which may be sent several times; `key` is its Idempotency-Key, and its name."""

    key: str
    kind: str
    method: str
    path: str
    body: Any
    who: str
    wish: str = ""  # the key of the operation that this one repeats under a new name, which no good client does

    @property
    def sent_key(self) -> str:
        """The Idempotency-Key that it is sent with: of one that reuses another's, that."""
        return self.key.removesuffix(REUSED)

    @property
    def writes(self) -> bool:
        return self.method != "GET"


@dataclass
class Attempt:
    """One time it was sent. Without a status nobody knows what became of it."""

    sent: float
    got: float = 0
    status: int | None = None
    body: bytes = b""
    replayed: bool = False
    why: str = ""
    server: int = 0

    @property
    def is_decided(self) -> bool:
        """Whether it says what became of the operation. A 5xx says no more than silence, nor does "in progress"."""
        if self.status is None or self.status >= 500:
            return False
        return self.status != 409 or b'"request_in_progress"' not in self.body

    @property
    def is_done(self) -> bool:
        return self.is_decided and self.status is not None and self.status < 300


@dataclass
class Entry:
    """An operation with all that was heard of it."""

    operation: Operation
    attempts: list[Attempt] = field(default_factory=list)

    @property
    def answers(self) -> list[Attempt]:
        """The attempts that were answered for good, in the order of the answers."""
        return sorted((attempt for attempt in self.attempts if attempt.is_decided), key=lambda attempt: attempt.got)

    @property
    def is_done(self) -> bool:
        return any(attempt.is_done for attempt in self.answers)

    @property
    def sent(self) -> float:
        return min(attempt.sent for attempt in self.attempts)


class Journal:
    """A client's own file. Any of its threads may write."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a")
        self._lock = threading.Lock()

    def do(self, operation: Operation) -> None:
        self._write({"do": operation.__dict__})

    def sending(self, key: str, attempt: int, *, server: int) -> None:
        self._write({"try": key, "n": attempt, "at": time.time(), "server": server})

    def got(self, key: str, attempt: int, *, status: int, body: bytes, replayed: bool) -> None:
        self._write(
            {"got": key, "n": attempt, "at": time.time(), "status": status, "body": body.decode(), "replayed": replayed}
        )

    def lost(self, key: str, attempt: int, why: str) -> None:
        self._write({"lost": key, "n": attempt, "at": time.time(), "why": why})

    def _write(self, record: dict[str, Any]) -> None:
        line = json.dumps(record) + "\n"
        with self._lock:
            self._file.write(line)
            self._file.flush()
            os.fsync(self._file.fileno())


def read(paths: list[Path]) -> dict[str, Entry]:
    """Return all operations of these journals by key."""
    found: dict[str, Entry] = {}
    for path in paths:
        attempts: dict[tuple[str, int], Attempt] = {}
        for line in path.read_text().splitlines():
            record = json.loads(line)
            if "do" in record:
                operation = Operation(**record["do"])
                found[operation.key] = Entry(operation)
            elif "try" in record:
                attempt = attempts[record["try"], record["n"]] = Attempt(sent=record["at"], server=record["server"])
                found[record["try"]].attempts.append(attempt)
            else:
                attempt = attempts[record.get("got") or record["lost"], record["n"]]
                attempt.got = record["at"]
                attempt.why = record.get("why", "")
                if "got" in record:
                    attempt.status, attempt.body = record["status"], record["body"].encode()
                    attempt.replayed = record["replayed"]
    return found


def last_success(path: Path) -> float:
    """Return when a client, who goes on writing, was last told that something was made; 0 if not of late."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL_BYTES))
        whole_lines = file.read().split(b"\n")[1:-1]
    records = map(json.loads, whole_lines)
    return max((record["at"] for record in records if record.get("status") == 201), default=0)
