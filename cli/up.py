"""`resedge up`: everything embedded in this process, and how to talk to it.

The one rule: when it returns, nothing is half-done: the port is free, the directory's lock is gone, the log is closed.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from cli.errors import UsageProblem

if TYPE_CHECKING:
    import uvicorn

    from libs.runtime.embedded import Embedded

GRACE_SECONDS = 4
BACKLOG = 1024
ADMIN = "admin"
COLLECT_AFTER = (100_000, 20, 50)
"""The collector's thresholds: a fleet is millions of objects that stay, and walking them stops every answer."""
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def run_up(data_dir: Path, port: int = 8080, ephemeral: bool = False, host: str = "127.0.0.1") -> int:
    """Serve until SIGTERM or Ctrl-C, and return the exit code: 0 ended on request, 1 could not begin.

    `ephemeral` works in a temporary directory that is removed at the end, under its own context.
    """
    if ephemeral:
        with tempfile.TemporaryDirectory(prefix="resedge-") as directory:
            return _run(Path(directory), port, host, context="ephemeral")
    return _run(data_dir, port, host, context="local")


def _run(data_dir: Path, port: int, host: str, context: str) -> int:
    # Imported here, so that the command line starts quickly for everything else.
    from cli.embedded import SERVICES  # noqa: PLC0415 - start-up time
    from libs.runtime.embedded import Embedded  # noqa: PLC0415 - start-up time
    from libs.runtime.lock import DataDirInUse  # noqa: PLC0415 - start-up time
    from libs.runtime.logs import set_up_logs  # noqa: PLC0415 - start-up time
    from libs.runtime.settings import ProcessSettings  # noqa: PLC0415 - start-up time
    from libs.runtime.telemetry import set_up_telemetry  # noqa: PLC0415 - start-up time

    settings = ProcessSettings()
    set_up_logs(settings.log_level)
    set_up_telemetry("embedded")
    try:
        listening = _listen(host, port)
    except OSError as error:
        return _say_why(_port_problem(error, host, port))
    with listening:
        try:
            embedded = Embedded(
                data_dir, SERVICES, log_url=settings.log_url, snapshot_seconds=settings.snapshot_seconds
            )
        except DataDirInUse as refusal:
            return _say_why(str(refusal))
        except OSError as error:
            return _say_why(f"{data_dir} cannot be used: {error.strerror}")
        url = f"http://{_shown(host)}:{listening.getsockname()[1]}"
        _write_context(embedded, context, url)
        return _serve(embedded, listening, url)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening


def _port_problem(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is in use: stop what listens there, or choose another with --port"
    return f"cannot listen on {host}:{port}: {error.strerror}"


def _shown(host: str) -> str:
    if host in {"0.0.0.0", "::"}:  # noqa: S104 - compared, not bound
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def _say_why(reason: str) -> int:
    print(f"error: {reason}", file=sys.stderr)
    return 1


def _write_context(embedded: Embedded, name: str, url: str) -> None:
    """Make the local context talk to this server as its administrator; a token is issued where it has none."""
    from cli.config import config_path, load_config, write_context  # noqa: PLC0415 - start-up time

    try:
        known = load_config(config_path()).contexts.get(name)
        principal = embedded.tokens.principal(known.token) if known is not None and known.token else None
        if known is not None and principal is not None:
            token = known.token
        else:
            token = embedded.tokens.issue(ADMIN, frozenset({"admin"}))
        write_context(name, url, token)
    except (UsageProblem, OSError) as error:
        print(f"warning: the local context could not be written: {error}", file=sys.stderr)


def _serve(embedded: Embedded, listening: socket.socket, url: str) -> int:
    import uvicorn  # noqa: PLC0415 - start-up time

    config = uvicorn.Config(
        embedded.app,
        loop="uvloop",
        http="h11",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    server = uvicorn.Server(config)
    runner = asyncio.Runner(loop_factory=config.get_loop_factory())
    with runner:
        runner.run(_until_told_to_end(server, embedded, listening, url))
    return 0 if server.started else 1


async def _until_told_to_end(server: uvicorn.Server, embedded: Embedded, listening: socket.socket, url: str) -> None:
    loop = asyncio.get_running_loop()

    def end() -> None:
        server.should_exit = True
        embedded.drain()

    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, end)
    announced = asyncio.create_task(_announce(server, url, embedded.data_dir))
    # uvicorn's own `serve` would raise the signal again at the end; ending on request is a success.
    await server._serve([listening])  # noqa: SLF001 - the part of `serve` without its signal handlers
    announced.cancel()


async def _announce(server: uvicorn.Server, url: str, data_dir: Path) -> None:
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.02)
    # What was made while starting stays; the collector need not walk it again and again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
    print(f"resedge is up at {url} (data in {data_dir})", flush=True)
    print("next: resedge apply -f FILE   or   resedge get stores", flush=True)
