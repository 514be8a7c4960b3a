"""Asks what is still to be known once all faults are mended, reads the books, and has all of it judged."""

import http.client
import random
import time
from collections.abc import Callable, Sequence

import psycopg

from tests.chaos.journal import Attempt, Entry
from tests.chaos.judge import Books, Judge, name_of, told
from tests.chaos.nemesis import Fault
from tests.chaos.site import Site
from tests.chaos.wire import STAFF, account_of, connect, send, sign_in

SETTLE_SECONDS = 30
REPLAYS = 20_000  # at most; a run of hours draws them by lot
EXECUTED = "SELECT status, body FROM toolkit_idempotencykey WHERE key = %s AND status IS NOT NULL"


class Verifier:
    """Asks on behalf of the clients of one run."""

    def __init__(self, site: Site, entries: Sequence[Entry], seed: int) -> None:
        self.site = site
        self.entries = [entry for entry in entries if entry.attempts]
        self.asked = [entry for entry in self.entries if entry.operation.writes]
        self.random = random.Random(seed)
        self.tokens: dict[str, str] = {}
        self.findings: list[str] = []

    def run(
        self,
        say: Callable[[str], None],
        *,
        initial: dict[int, int],
        backorders: dict[tuple[int, str], int],
        skus: dict[str, int],
        faults: Sequence[Fault],
        ended: float,
    ) -> list[str]:
        """Return all findings."""
        say(f"{self.settle()} operations of unknown fate asked for again with their key")
        say(f"{self.replay()} answers asked for again")
        books = Books.read(self.site.database.url, self.site.database.log())
        findings = Judge(self.entries, books, initial, skus, faults, ended, backorders).run(say)
        broken = [f"verify_stock: {line}" for line in self.site.broken_books()]
        say(f"verify_stock: {'BROKEN' if broken else 'ok'}")
        return [*self.findings, *findings, *broken]

    def settle(self) -> int:
        """Ask once more for whatever has no answer, in the order in which it was asked; return how many these were."""
        renamed = {entry.operation.wish for entry in self.asked}
        unknown = sorted((entry for entry in self.asked if not entry.answers), key=lambda entry: entry.sent)
        for entry in unknown:
            if entry.operation.key in renamed:  # asking would do it once more; the database knows whether it was done
                self._look_up(entry)
            else:
                entry.attempts.append(last := self._ask(entry))
                if not last.is_decided:
                    self.findings.append(f"{name_of(entry)} gets no answer: {last.status} {last.why}")
        return len(unknown)

    def replay(self) -> int:
        """Ask once more for what was answered: the same answer must come, as a replay. Return for how many."""
        answered = [entry for entry in self.asked if entry.answers and entry.operation.kind != "reuse"]
        drawn = self.random.sample(answered, min(REPLAYS, len(answered)))
        for entry in drawn:
            first, again = entry.answers[0], self._ask(entry)
            if (again.status, again.body) != (first.status, first.body):
                self.findings.append(f"{name_of(entry)} was answered {told(first)} and is now answered {told(again)}")
            elif not again.replayed:
                self.findings.append(f"{name_of(entry)} was answered {told(first)}, and the answer was not kept")
        return len(drawn)

    def _ask(self, entry: Entry) -> Attempt:
        """Ask until there is an answer. A 500 is none, and asking again does not help."""
        deadline = time.time() + SETTLE_SECONDS
        while True:
            attempt = self._attempt(entry)
            if attempt.is_decided or attempt.status == 500 or time.time() > deadline:
                return attempt

    def _attempt(self, entry: Entry) -> Attempt:
        operation = entry.operation
        attempt = Attempt(sent=time.time())
        port = self.site.ports[0]
        try:
            if operation.who not in self.tokens:
                self.tokens[operation.who] = sign_in(port, account_of(operation.who, STAFF))
            token = self.tokens[operation.who]
            answer = send(
                connect(port), operation.method, operation.path, operation.body, token=token, key=operation.sent_key
            )
        except (OSError, http.client.HTTPException, KeyError, ValueError) as error:
            attempt.why = repr(error)
        else:
            attempt.status, attempt.body, attempt.replayed = answer.status, answer.body, answer.replayed
        if attempt.status == 401:  # tokens live for minutes
            del self.tokens[operation.who]
            attempt.status, attempt.why = None, "token"
        attempt.got = time.time()
        return attempt

    def _look_up(self, entry: Entry) -> None:
        with psycopg.connect(self.site.database.url) as connection:
            for status, body in connection.execute(EXECUTED, [entry.operation.key]):
                entry.attempts.append(Attempt(sent=time.time(), got=time.time(), status=status, body=bytes(body)))
