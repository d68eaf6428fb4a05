"""Serves a composition on a socket until the process gets a signal.

Ending on request is a success: SIGTERM and Ctrl-C stop accepting work, finish what is begun, and exit 0.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
from collections.abc import Callable
from typing import cast

import uvicorn
from fastapi import FastAPI

from libs.runtime.connections import Bounds, open_files_max, protocol_of
from libs.runtime.embedded import Embedded

_GRACE_SECONDS = 4
BACKLOG = 256
"""The listen backlog: connections that the system holds for us; all are accepted at once, so they count as our files.
"""
COLLECT_AFTER = (100_000, 20, 50)
"""The garbage collector's thresholds: a fleet is millions of permanent objects, and a scan of them stops every answer.
"""


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 picks a free one.

    Raises:
        OSError: the address is in use, or not available.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sets TCP_NODELAY only if the protocol is TCP by name; otherwise a client waits 40 ms for a body.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening


def serve(
    embedded: Embedded,
    listening: socket.socket,
    announce: Callable[[], None],
    trusted_proxies: str = "",
    bounds: Bounds | None = None,
) -> bool:
    """Serve until SIGTERM or Ctrl-C, calling `announce` once it answers; False: it could not start."""
    config = configuration(embedded.app, trusted_proxies, (bounds or Bounds()).within(open_files_max()))
    server = uvicorn.Server(config)
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(_until_told_to_end(server, embedded, listening, announce))
    return server.started


def configuration(app: FastAPI, trusted_proxies: str, bounds: Bounds) -> uvicorn.Config:
    """Return how an application is served: the same for one service and for all of them together.

    From `trusted_proxies` (addresses and networks, `,` between) `X-Forwarded-For` is trusted; from no other address,
    since any client could claim to be anywhere.
    """
    return uvicorn.Config(
        app,
        loop="uvloop",
        http=cast("type[asyncio.Protocol]", protocol_of(bounds)),
        h11_max_incomplete_event_size=bounds.head_bytes_max,
        timeout_keep_alive=bounds.idle_seconds,
        backlog=BACKLOG,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(trusted_proxies),
        forwarded_allow_ips=trusted_proxies,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )


async def _until_told_to_end(
    server: uvicorn.Server, embedded: Embedded, listening: socket.socket, announce: Callable[[], None]
) -> None:
    loop = asyncio.get_running_loop()

    def end() -> None:
        server.should_exit = True
        embedded.drain()

    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, end)
    announced = asyncio.create_task(_once_started(server, announce))
    # uvicorn's own `serve` would raise the signal again at the end.
    await server._serve([listening])  # noqa: SLF001 - the part of `serve` without its signal handlers
    announced.cancel()


async def _once_started(server: uvicorn.Server, announce: Callable[[], None]) -> None:
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.02)
    # Objects made at the start stay; the garbage collector need not scan them again and again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
    announce()
