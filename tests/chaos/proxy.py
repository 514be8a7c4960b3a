"""A TCP proxy in front of PostgreSQL that does what networks do: cut, delay, swallow, lose the answer to COMMIT."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

CHUNK = 1 << 16
COMMIT = b"COMMIT\0"


class Frontend:
    """Finds COMMIT in what a client sends: the protocol's messages are a type, a length, and as much as that says."""

    def __init__(self) -> None:
        self._rest = b""
        self._has_started = False  # the first message has no type

    def commits(self, data: bytes) -> bool:
        """Tell whether a COMMIT ends within this piece of the stream."""
        self._rest += data
        found = False
        while (message := self._next()) is not None:
            found |= message[:1] == b"Q" and message[5:].upper() == COMMIT
        return found

    def _next(self) -> bytes | None:
        kind = 1 if self._has_started else 0
        if len(self._rest) < kind + 4:
            return None
        end = kind + int.from_bytes(self._rest[kind : kind + 4])
        if len(self._rest) < end:
            return None
        message, self._rest = self._rest[:end], self._rest[end:]
        self._has_started = True
        return message


class Link:
    """One connection through the proxy."""

    def __init__(self, proxy: "FaultProxy", client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.proxy, self.client, self.server = proxy, client, server
        self.frontend = Frontend()
        self.loses_answers = False

    def cut(self) -> None:
        """End both sides at once, without a farewell."""
        for side in (self.client, self.server):
            side.transport.abort()

    async def upward(self, source: asyncio.StreamReader) -> None:
        while data := await source.read(CHUNK):
            await self.proxy.hold()
            how = self.proxy.takes_commit() if self.frontend.commits(data) else ""
            if how == "commit_lost":
                return
            self.loses_answers |= bool(how)
            self.server.write(data)
            await self.server.drain()

    async def downward(self, source: asyncio.StreamReader) -> None:
        while data := await source.read(CHUNK):
            await self.proxy.hold()
            if self.loses_answers:
                return  # it is committed, and nobody will hear of it
            self.client.write(data)
            await self.client.drain()


class FaultProxy:
    """Listens on `port` for clients of the server at a UNIX socket, in a thread of its own."""

    def __init__(self, sockets: Path) -> None:
        self.target = str(sockets / ".s.PGSQL.5432")
        self.delay = 0.0  # seconds, in each direction
        self.swallows = False  # takes and gives nothing, and stays connected
        self.lost_commit = ""  # what happens to the next one: "commit_lost", "answer_lost"
        self.done = 0  # COMMITs to which that has happened
        self.links: set[Link] = set()
        self._loop = asyncio.new_event_loop()
        started: Future[int] = Future()
        threading.Thread(target=self._run, args=(started,), name="proxy", daemon=True).start()
        self.port = started.result(timeout=10)

    def cut_all(self) -> int:
        """Cut every connection; return how many there were."""

        async def cut() -> int:
            links = list(self.links)
            for link in links:
                link.cut()
            return len(links)

        return asyncio.run_coroutine_threadsafe(cut(), self._loop).result(timeout=10)

    def takes_commit(self) -> str:
        """Return what is to happen to the COMMIT that comes by, which then counts as done; mostly nothing."""
        how, self.lost_commit = self.lost_commit, ""
        if how:
            self.done += 1
        return how

    def close(self) -> None:
        """Cut everybody off, and listen no more."""
        self.cut_all()
        self._loop.call_soon_threadsafe(self._server.close)
        self._loop.call_soon_threadsafe(self._loop.stop)

    async def hold(self) -> None:
        """Let a piece of data wait for as long as the fault of the moment asks."""
        if self.delay:
            await asyncio.sleep(self.delay)
        while self.swallows:
            await asyncio.sleep(0.05)

    def _run(self, started: "Future[int]") -> None:
        asyncio.set_event_loop(self._loop)
        self._server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        started.set_result(self._server.sockets[0].getsockname()[1])
        self._loop.run_forever()

    async def _serve(self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        try:
            from_server, to_server = await asyncio.open_unix_connection(self.target)
        except OSError:  # the server is down
            to_client.transport.abort()
            return
        link = Link(self, to_client, to_server)
        self.links.add(link)
        pumps = [
            asyncio.ensure_future(_quietly(link.upward, from_client)),
            asyncio.ensure_future(_quietly(link.downward, from_server)),
        ]
        # When one side has ended, so has the other.
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for pump in pumps:
            pump.cancel()
        self.links.discard(link)
        link.cut()


async def _quietly(pump: Callable[[asyncio.StreamReader], Any], source: asyncio.StreamReader) -> None:
    try:
        await pump(source)
    except OSError:
        return
