"""A TCP proxy before PostgreSQL that cuts connections around COMMIT, as a failing network would.

with Proxy(cluster.port) as proxy:
    system.start("inventory", RESEDGE_LOG_URL=proxy.through(system.log_url))
    proxy.cut(BEFORE)               # the next COMMIT never arrives
    proxy.cut(AFTER)                # the next COMMIT is carried out, and its answer never arrives

It understands just enough of the protocol (simple `COMMIT`, and a parsed `commit` that is executed) to know which bytes
end a transaction; everything else passes as it is.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, deque
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Self

from sqlalchemy import make_url

from tests.support.waiting import until

BEFORE, AFTER = "before", "after"
_READY, _STARTUP_HEADER, _MESSAGE_HEADER = b"Z", 4, 5


@dataclass(slots=True)
class _Session:
    """One connection: whether the statement that it executes next is a commit, and whether its answer is withheld."""

    committing: bool = False
    withheld: bool = False


class _Cut(Exception):  # noqa: N818 - it states the fact
    """This connection ends here."""


class Proxy:
    """Listens on a port of its own in a thread of its own; `cuts` counts what was cut, by where."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._ordered: deque[str] = deque()
        self.cuts: Counter[str] = Counter()
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = self._run(asyncio.start_server(self._session, "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_exception: object) -> None:
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def through(self, url: str) -> str:
        """Return a URL of the server behind it, by way of this proxy."""
        return make_url(url).set(port=self.port).render_as_string(hide_password=False)

    def cut(self, where: str, seconds: float = 60.0) -> None:
        """Cut the next COMMIT that comes by, and return once that has happened."""
        goal = self.cuts[where] + 1
        self._ordered.append(where)
        until(lambda: self.cuts[where] >= goal, seconds, f"a COMMIT comes by to be cut {where}")

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _end(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = _Session()
        writers = [writer]
        try:
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._target)
            writers.append(server_writer)
            there = asyncio.create_task(self._requests(reader, server_writer, session))
            back = asyncio.create_task(self._answers(server_reader, writer, session))
            done, pending = await asyncio.wait((there, back), return_when=asyncio.FIRST_COMPLETED)
            for task in pending:
                task.cancel()
            await asyncio.gather(*done, *pending, return_exceptions=True)
        except OSError:
            pass  # nobody is there: the client's connection ends, as it would without a proxy
        finally:
            for each in writers:
                each.transport.abort()

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, session: _Session) -> None:
        writer.write(await _message(reader, _STARTUP_HEADER))
        while True:
            message = await _message(reader, _MESSAGE_HEADER)
            if self._commits(message, session) and self._ordered:
                where = self._ordered.popleft()
                if where == BEFORE:
                    self.cuts[BEFORE] += 1
                    raise _Cut
                session.withheld = True
            writer.write(message)
            await writer.drain()

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, session: _Session) -> None:
        while True:
            message = await _message(reader, _MESSAGE_HEADER)
            if session.withheld:
                if message[:1] == _READY:  # the server has done what it was told
                    self.cuts[AFTER] += 1
                    raise _Cut
                continue
            writer.write(message)
            await writer.drain()

    @staticmethod
    def _commits(message: bytes, session: _Session) -> bool:
        """Tell whether the server ends a transaction when it gets this message."""
        kind, body = message[:1], message[_MESSAGE_HEADER:]
        if kind == b"P":  # Parse: the statement's name, then its text
            session.committing = _is_commit(body.partition(b"\0")[2])
        return (kind == b"Q" and _is_commit(body)) or (kind == b"E" and session.committing)


def _is_commit(statement: bytes) -> bool:
    return statement.strip(b"\0 ;").lower().startswith(b"commit")


async def _message(reader: asyncio.StreamReader, header_bytes: int) -> bytes:
    """Read one message whole; a length of four bytes, which counts itself, ends its header."""
    header = await reader.readexactly(header_bytes)
    return header + await reader.readexactly(int.from_bytes(header[-4:], "big") - 4)
