"""Connections are bounded whatever a client does: heads, bodies, answers that nobody reads, their number."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse

from libs.contracts.problems import Problem
from libs.runtime.connections import Bounds
from libs.runtime.serving import configuration, listen
from libs.web.application import AroundRequests
from libs.web.arriving import in_time
from libs.web.bodies import read_body
from libs.web.problems import install_problems
from libs.web.streams import Stream
from tests.support.waiting import eventually

QUICK = Bounds(
    connections_max=20,
    head_seconds=0.5,
    idle_seconds=1,
    drain_seconds=0.5,
    linger_seconds=0.5,
    send_seconds=1.0,
    look_seconds=0.1,
)
GET = b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"
Reader: TypeAlias = asyncio.StreamReader
Writer: TypeAlias = asyncio.StreamWriter


class Served:
    """A small application that is served as ours is."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.chunks = self.waiting = 0
        self.left = asyncio.Event()
        self.writers: list[Writer] = []
        self.app = FastAPI()
        self.app.add_middleware(AroundRequests, new_id=lambda: "r-1", body_seconds=0.5)
        install_problems(self.app)

        @self.app.get("/hello")
        async def hello() -> PlainTextResponse:
            return PlainTextResponse("hello")

        @self.app.get("/endless")
        async def endless() -> Stream:
            return Stream(self._endless())

        @self.app.get("/wait")
        async def wait() -> PlainTextResponse:
            self.waiting += 1
            await self.left.wait()
            return PlainTextResponse("waited")

        @self.app.put("/body")
        async def body(request: Request) -> PlainTextResponse:
            return PlainTextResponse(str(len(await read_body(request))))

        @self.app.put("/early")
        async def early() -> PlainTextResponse:
            return PlainTextResponse("not read")

    async def _endless(self) -> AsyncGenerator[bytes]:
        try:
            while True:
                self.chunks += 1
                yield bytes(64 * 1024)
        finally:
            self.left.set()

    async def open(self, *sent: bytes) -> tuple[Reader, Writer]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.writers.append(writer)
        for each in sent:
            writer.write(each)
        return reader, writer

    async def close(self) -> None:
        for writer in self.writers:
            writer.transport.abort()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def answer(self, *sent: bytes) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body of what a connection is answered until it is closed."""
        reader, writer = await self.open(*sent)
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        return parsed(await everything(reader))


async def everything(reader: Reader) -> bytes:
    with contextlib.suppress(ConnectionError):
        return await asyncio.wait_for(reader.read(), 20)
    return b""


def parsed(answer: bytes) -> tuple[int, dict[str, str], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return int(first.split()[1]), {k.lower(): v for k, _, v in (line.partition(": ") for line in lines)}, body


@asynccontextmanager
async def serving(bounds: Bounds) -> AsyncIterator[Served]:
    listening = listen("127.0.0.1", 0)
    served = Served(listening.getsockname()[1])
    server = uvicorn.Server(configuration(served.app, "", bounds))
    running = asyncio.create_task(server._serve([listening]))
    await eventually(lambda: server.started)
    try:
        yield served
    finally:
        await served.close()
        server.should_exit = True
        await running


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serving(QUICK) as made:
        yield made


def problem(answer: tuple[int, dict[str, str], bytes], status: int, code: str) -> dict[str, Any]:
    found, headers, body = answer
    assert (found, headers["content-type"]) == (status, "application/problem+json"), answer
    assert headers.get("connection", "close") == "close"
    document: dict[str, Any] = json.loads(body)
    assert (document["code"], document["status"]) == (code, status)
    assert document["title"]
    assert document["detail"]
    return document


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(32) + b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /hello HTTP/1.1\r\n\r\n",
        b"GET /hello HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /hello HTTP/1.1\r\nHost: a\r\nbad header\r\n\r\n",
        b"PUT /body HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
        b"GET /h\xc3\xa9llo HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_a_problem(served: Served, sent: bytes) -> None:
    problem(await served.answer(sent), 400, "invalid-http")


async def test_an_encoding_of_transfer_that_nobody_reads_is_a_problem(served: Served) -> None:
    sent = b"PUT /body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n"
    problem(await served.answer(sent), 501, "invalid-http")


@pytest.mark.parametrize(
    "line", [b"X-A: " + bytes([97]) * 200_000, b"".join(b"X-%d: a\r\n" % n for n in range(20_000))]
)
async def test_headers_that_are_too_large_are_a_problem(served: Served, line: bytes) -> None:
    # Without an end, so that the bound must be met before it.
    answer = await served.answer(b"GET /hello HTTP/1.1\r\nHost: a\r\n" + line)
    if answer[0] != 408:  # all of it may have come with one read
        problem(answer, 431, "headers-too-large")


async def test_a_body_that_is_no_body_is_a_problem_and_the_handler_ends(served: Served) -> None:
    sent = b"PUT /body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
    problem(await served.answer(sent), 400, "invalid-http")
    assert (await served.answer(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")))[2] == b"hello"


@pytest.mark.parametrize("sent", [b"", b"GET /hello HTTP/1.1\r\nHost: a\r\nX-"])
async def test_a_head_that_does_not_come_is_not_waited_for(served: Served, sent: bytes) -> None:
    reader, _writer = await served.open(sent)
    answer = await everything(reader)
    if sent:
        problem(parsed(answer), 408, "request-timeout")
    else:
        assert answer == b""


async def test_a_head_that_drips_is_not_waited_for_nor_the_one_after_an_answer(served: Served) -> None:
    for before in (b"", GET):
        reader, writer = await served.open(before)
        if before:
            assert b"hello" in await reader.readuntil(b"hello")

        async def drip(writer: Writer = writer) -> None:
            with contextlib.suppress(ConnectionError):
                for byte in b"GET /hello HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 500:
                    writer.write(bytes([byte]))
                    await writer.drain()
                    await asyncio.sleep(0.05)  # a client that sends slowly

        dripping = asyncio.create_task(drip())
        problem(parsed(await everything(reader)), 408, "request-timeout")
        dripping.cancel()


async def test_a_body_that_stops_coming_is_a_problem(served: Served) -> None:
    sent = b"PUT /body HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc"
    found = problem(await served.answer(sent), 408, "request-timeout")
    assert "3 bytes" in found["detail"]
    assert found["request_id"] == "r-1"


async def test_a_body_that_comes_fast_enough_is_waited_for_as_long_as_it_takes() -> None:
    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0.02)  # a client that sends steadily
        return {"type": "http.request", "body": bytes(1024), "more_body": True}

    steady = in_time(receive, 0.1)
    assert sum([len((await steady())["body"]) for _ in range(20)]) == 20 * 1024

    async def trickle() -> dict[str, Any]:
        await asyncio.sleep(0.02)  # a client that sends slowly
        return {"type": "http.request", "body": b"x", "more_body": True}

    slow = in_time(trickle, 0.1)

    async def all_of_it() -> None:
        while True:
            await slow()

    with pytest.raises(Problem) as refused:
        await all_of_it()
    assert refused.value.status == 408


async def test_the_rest_of_a_body_that_was_answered_is_not_waited_for(served: Served) -> None:
    reader, writer = await served.open(b"PUT /early HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
    assert b"not read" in await reader.readuntil(b"not read")

    async def go_on() -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.05)  # a client that goes on sending

    sending = asyncio.create_task(go_on())
    assert await everything(reader) == b""
    sending.cancel()


async def test_a_reader_that_does_not_read_is_dropped_and_what_waits_for_it_is_bounded(served: Served) -> None:
    reader, _writer = await served.open(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    reader._transport.pause_reading()  # type: ignore[attr-defined]  # asyncio's own has it

    await asyncio.wait_for(served.left.wait(), 20)

    assert served.chunks * 64 * 1024 < 32 * 1024 * 1024


async def test_a_reader_that_reads_slowly_is_served(served: Served) -> None:
    reader, _writer = await served.open(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n")
    for _ in range(30):
        assert len(await reader.readexactly(512 * 1024)) == 512 * 1024
        await asyncio.sleep(0.1)  # a client that reads slowly
    assert not served.left.is_set()


async def test_half_open_connections_give_way_to_whole_requests(served: Served) -> None:
    half_open = [await served.open(b"GET /hello HTTP/1.1\r\nX-") for _ in range(QUICK.connections_max * 3)]

    answers = await asyncio.gather(*(served.answer(GET) for _ in range(QUICK.connections_max)))

    assert [(status, body) for status, _, body in answers] == [(200, b"hello")] * QUICK.connections_max
    for reader, _writer in half_open:
        if answer := await everything(reader):
            problem(parsed(answer), 408, "request-timeout")


async def test_more_requests_at_once_than_are_taken_are_told_so(served: Served) -> None:
    waiting = [await served.open(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n") for _ in range(QUICK.connections_max)]
    await eventually(lambda: served.waiting == QUICK.connections_max)

    for _ in range(3):
        answer = await served.answer(GET)
        assert problem(answer, 503, "too-many-connections")
        assert answer[1]["retry-after"] == "1"
    served.left.set()
    for reader, _writer in waiting:
        assert b"waited" in await reader.readuntil(b"waited")


async def test_requests_that_come_together_are_answered_in_their_order(served: Served) -> None:
    reader, writer = await served.open(GET + GET + GET[:10])
    for _ in range(2):
        assert b"200 OK" in await reader.readuntil(b"hello")
    writer.write(GET[10:])
    assert b"200 OK" in await reader.readuntil(b"hello")


def test_fewer_connections_are_taken_where_fewer_files_may_be_open() -> None:
    assert Bounds(5_000).within(1_024).connections_max <= (1_024 - 256) / 2
    assert Bounds(5_000).within(100_000).connections_max == 5_000
