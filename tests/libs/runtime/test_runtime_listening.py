"""What is listened on sends at once, whichever event loop serves it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import pytest
import uvloop

from libs.runtime.serving import listen


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_an_answer_s_body_does_not_wait_for_the_head_to_be_acknowledged(
    host: str, loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    async def accepted() -> int:
        found = asyncio.get_running_loop().create_future()

        async def taken(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            found.set_result(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        listening = listen(host, 0)
        async with await asyncio.start_server(taken, sock=listening):
            _, writer = await asyncio.open_connection(*listening.getsockname()[:2])
            at_once: int = await found
            writer.close()
            await writer.wait_closed()
        return at_once

    with asyncio.Runner(loop_factory=loop) as runner:
        assert runner.run(accepted())
