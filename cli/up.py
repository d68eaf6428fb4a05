"""`resedge up`: everything embedded in this process, and how to talk to it.

The one rule: when it returns, nothing is half-done: the port is free, the directory's lock is gone, the log is closed.
"""

from __future__ import annotations

import errno
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from cli.errors import UsageProblem

if TYPE_CHECKING:
    from libs.runtime.embedded import Embedded

ADMIN = "admin"


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
    from libs.eventlog import DatabaseNotReady, DriverMissing, UnknownLogFormat  # noqa: PLC0415 - start-up time
    from libs.runtime.embedded import Embedded  # noqa: PLC0415 - start-up time
    from libs.runtime.lock import DataDirInUse  # noqa: PLC0415 - start-up time
    from libs.runtime.logs import set_up_logs  # noqa: PLC0415 - start-up time
    from libs.runtime.serving import listen, serve  # noqa: PLC0415 - start-up time
    from libs.runtime.settings import ProcessSettings  # noqa: PLC0415 - start-up time
    from libs.runtime.telemetry import set_up_telemetry  # noqa: PLC0415 - start-up time
    from libs.runtime.wiring import Wiring  # noqa: PLC0415 - start-up time

    settings = ProcessSettings()
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
                snapshot_seconds=settings.snapshot_seconds,
            )
        except (DataDirInUse, DatabaseNotReady, DriverMissing, UnknownLogFormat) as refusal:
            return _say_why(str(refusal))
        except OSError as error:
            return _say_why(f"{data_dir} cannot be used: {error.strerror}")
        url = f"http://{_shown(host)}:{listening.getsockname()[1]}"
        _write_context(embedded, context, url)

        def announce() -> None:
            print(f"resedge is up at {url} (data in {data_dir})", flush=True)
            print("next: resedge apply -f FILE   or   resedge get stores", flush=True)

        return 0 if serve(embedded, listening, announce) else 1


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
