"""`resedge up`: all services in this process, and the local context for it.

When it returns, the port is free, the directory's lock is released, and the log is closed.
"""

from __future__ import annotations

import contextlib
import errno
import re
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from cli.errors import UsageProblem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from libs.runtime.clock import VirtualClock
    from libs.runtime.embedded import Embedded

_ADMIN = "admin"
_EPHEMERAL = "ephemeral"
_SPEED = re.compile(r"\d{1,9}(\.\d{1,9})?")


def run_up(
    data_dir: Path,
    port: int = 8080,
    ephemeral: bool = False,
    host: str = "127.0.0.1",
    clock: VirtualClock | None = None,
) -> int:
    """Serve until SIGTERM or Ctrl-C, and return the exit code: 0 ended on request, 1 could not begin.

    `ephemeral` works in a temporary directory that is removed at the end, under its own context, which is the current
    one only where there is no other, and only until the end; `clock` takes the place of the real one.
    """
    if ephemeral:
        with _current_context_kept(), tempfile.TemporaryDirectory(prefix="resedge-") as directory:
            return _run(Path(directory), port, host, _EPHEMERAL, clock)
    return _run(data_dir, port, host, "local", clock)


def virtual_clock(at: str, speed: str) -> VirtualClock | None:
    """Return the clock that `--at` and `--speed` ask for; None where they ask for none.

    Raises:
        UsageProblem: one of them cannot be read, or there is a speed and no instant.
    """
    from libs.contracts.instants import read_instant  # noqa: PLC0415 - start-up time
    from libs.contracts.refusals import Invalid  # noqa: PLC0415 - start-up time
    from libs.runtime.clock import SPEED_MAX, VirtualClock  # noqa: PLC0415 - start-up time

    if not at:
        if speed:
            raise UsageProblem("--speed needs a virtual clock", fix="give its start with --at")
        return None
    if speed and not _SPEED.fullmatch(speed):
        raise UsageProblem(f"--speed takes a number, not {speed!r}", fix="write --speed 60 for an hour a minute")
    try:
        return VirtualClock(read_instant(at, "--at"), float(speed or 1))
    except Invalid as refusal:
        raise UsageProblem(f"--at: {refusal.detail}", fix=refusal.fix or "") from None
    except ValueError:
        raise UsageProblem(f"--speed must be above 0 and at most {SPEED_MAX:,.0f}, not {speed}") from None


def _run(data_dir: Path, port: int, host: str, context: str, clock: VirtualClock | None) -> int:
    # Imported here, so that the command line starts quickly for everything else.
    from cli.embedded import SERVICES  # noqa: PLC0415 - start-up time
    from libs.access.oidc import BadProvider  # noqa: PLC0415 - start-up time
    from libs.eventlog import DatabaseNotReady, DriverMissing, UnknownLogFormat  # noqa: PLC0415 - start-up time
    from libs.runtime.clock import ClockRefused, utc_now  # noqa: PLC0415 - start-up time
    from libs.runtime.connections import Bounds  # noqa: PLC0415 - start-up time
    from libs.runtime.embedded import Embedded  # noqa: PLC0415 - start-up time
    from libs.runtime.lock import DataDirInUse  # noqa: PLC0415 - start-up time
    from libs.runtime.logs import set_up_logs  # noqa: PLC0415 - start-up time
    from libs.runtime.serving import listen, serve  # noqa: PLC0415 - start-up time
    from libs.runtime.settings import ProcessSettings  # noqa: PLC0415 - start-up time
    from libs.runtime.telemetry import set_up_telemetry  # noqa: PLC0415 - start-up time
    from libs.runtime.wiring import Wiring  # noqa: PLC0415 - start-up time

    settings = ProcessSettings()
    if clock is not None and (reason := _remote_problem()):
        return _say_why(reason)
    set_up_logs(settings.log_level, service="embedded", instance=settings.instance)
    set_up_telemetry("embedded", endpoint=settings.otlp_endpoint, instance=settings.instance)
    try:
        listening = listen(host, port)
    except OSError as error:
        return _say_why(_port_problem(error, host, port))
    with listening:
        try:
            embedded = Embedded(
                data_dir,
                SERVICES,
                log_url=settings.log_url,
                wiring=Wiring.of(settings),
                clock=clock or utc_now,
                snapshot_seconds=settings.snapshot_seconds,
            )
        except (BadProvider, ClockRefused, DataDirInUse, DatabaseNotReady, DriverMissing, UnknownLogFormat) as refusal:
            return _say_why(str(refusal))
        except OSError as error:
            return _say_why(f"{data_dir} cannot be used: {error.strerror}")
        url = f"http://{_shown(host)}:{listening.getsockname()[1]}"
        used = _write_context(embedded, context, url)
        announce = partial(_announce, embedded, url, clock, "resedge" if used else f"resedge --context {context}")
        bounds = Bounds(settings.connections_max)
        return 0 if serve(embedded, listening, announce, settings.trusted_proxies, bounds) else 1


def _remote_problem() -> str:
    """Return why a virtual clock cannot be used with what rendering is connected to; empty if it can."""
    from services.rendering.settings import RenderingSettings  # noqa: PLC0415 - start-up time

    if not RenderingSettings().remote:
        return ""
    return (
        "RESEDGE_RENDERING_REMOTE is set, so stores would get what a virtual clock admits: unset it, or leave --at out"
    )


def _announce(embedded: Embedded, url: str, clock: VirtualClock | None, command: str) -> None:
    from libs.runtime.clock import ahead_warning, utc_now  # noqa: PLC0415 - start-up time

    told = f", clock {clock.told()}" if clock is not None else ""
    print(f"resedge is up at {url} (data in {embedded.data_dir}{told})", flush=True)
    print(f"next: {command} apply -f FILE   or   {command} get stores", flush=True)
    if clock is None and (warning := ahead_warning(embedded.log, utc_now())):
        print(f"warning: {warning}", file=sys.stderr, flush=True)


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


@contextlib.contextmanager
def _current_context_kept() -> Iterator[None]:
    """Leave the current context as it was: none is current again where there was none."""
    from cli.config import Config, config_path, load_config, save_config  # noqa: PLC0415 - start-up time

    path, before = config_path(), ""
    with contextlib.suppress(UsageProblem):
        before = load_config(path).current
    try:
        yield
    finally:
        with contextlib.suppress(UsageProblem, OSError):
            after = load_config(path)
            if not before and after.current == _EPHEMERAL:
                save_config(path, Config("", after.contexts))


def _write_context(embedded: Embedded, name: str, url: str) -> bool:
    """Make the context talk to this server as its administrator; a token is issued where it has none.

    Returns whether it is the current one.
    """
    from cli.config import config_path, load_config, write_context  # noqa: PLC0415 - start-up time

    try:
        known = load_config(config_path()).contexts.get(name)
        principal = embedded.tokens.principal(known.token) if known is not None and known.token else None
        if known is not None and principal is not None:
            token = known.token
        else:
            token = embedded.tokens.issue(_ADMIN, frozenset({"admin"}))
        # A server that ends soon must not stay the one that every later command goes to.
        path = write_context(name, url, token, use=name != _EPHEMERAL)
        return load_config(path).current == name
    except (UsageProblem, OSError) as error:
        print(f"warning: the local context could not be written: {error}", file=sys.stderr)
        return True
