"""The server of the demo: `resedge up` in a process of its own, as a person would start it.

However the demo ends, the server ends too, cleanly.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx2

from cli.config import Connection, config_path, load_config
from cli.errors import CliError, UsageProblem
from libs.children import environment, python

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

READY_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 20.0
_POLL_SECONDS = 0.05
_LOG_LINES = 15


def free_port(port: int) -> int:
    """Return `port`, or for 0 one that is free.

    Raises:
        UsageProblem: something else listens there already.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise UsageProblem(
                f"port {port} is taken", why=str(error.strerror), fix="end what listens there, or use --port"
            ) from error
        return int(probe.getsockname()[1])


def up_command(data_dir: Path, port: int) -> list[str]:
    """Return the command line that a person would start the server with."""
    return python("-m", "cli", "up", "--data-dir", str(data_dir), "--port", str(port))


_ENDING = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def running(command: Sequence[str], port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server for as long as the block, from when it is ready; what it says goes to the file `log`.

    Raises:
        CliError: it ended, or did not become ready in time; it shows the end of its log.
    """
    with log.open("wb") as output:
        # An interrupt between its start and our knowing of it would leave it running: it is raised a moment later.
        interrupts: list[int] = []
        before = {each: signal.signal(each, lambda number, _frame: interrupts.append(number)) for each in _ENDING}
        try:
            # A session of its own, so that Ctrl-C reaches it once, from us.
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment(),
                start_new_session=True,
            )
        except BaseException:
            _handle(before)
            raise
        try:
            if interrupts:
                raise KeyboardInterrupt
            _handle(before)
            if interrupts:  # it came while the handlers were restored
                raise KeyboardInterrupt
            _wait_until_ready(process, f"http://127.0.0.1:{port}", log)
            yield process
        finally:
            _stop(process)
            _handle(before)


def _handle(handlers: Mapping[signal.Signals, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)


def _wait_until_ready(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS_MAX
    with httpx2.Client(base_url=address, trust_env=False, timeout=5.0) as http:
        while process.poll() is None and time.monotonic() < deadline:
            try:
                if http.get("/readyz").status_code == 200:
                    return
            except httpx2.TransportError:
                pass  # not listening yet
            time.sleep(_POLL_SECONDS)
    ended = process.poll()
    what = f"the server ended with {ended}" if ended is not None else "the server did not become ready"
    raise CliError(what, why="\n".join(_tail(log)), fix=f"see {log}")


def _tail(log: Path) -> list[str]:
    return log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:]


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def connection_to(port: int, config: Path | None = None) -> Connection:
    """Return the connection that the server wrote into the local contexts when it started.

    Raises:
        CliError: there is none for its address.
    """
    address = f"http://127.0.0.1:{port}"
    known = load_config(config or config_path())
    contexts = sorted(known.contexts.values(), key=lambda context: context.name != known.current)
    for context in contexts:
        if context.server in (address, f"http://localhost:{port}"):
            return Connection(context.server, context.token, context.name)
    raise CliError(f"the server at {address} wrote no context", fix=f"see {config or config_path()}")
