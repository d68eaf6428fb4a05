"""The system of the distributed demo: every service in its own process, by `scripts/compose-local`.

A running system is used and left running; a system that the demo started ends with it.
"""

from __future__ import annotations

import signal
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2

from cli.config import Connection, config_path, load_config, write_context
from cli.errors import CliError, UsageProblem

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PROJECT_ROOT = Path(__file__).resolve().parents[2]
_CONTEXT = "dev"
OTHER_CONTEXT = "demo"
"""The context of a system of the demo's own where `dev` is somebody's system that does not run now."""
USUAL_PORT = 8080
UP_SECONDS_MAX = 600.0
DOWN_SECONDS_MAX = 120.0
_LOG_LINES = 15


@dataclass(frozen=True, slots=True)
class _System:
    """A system that answers; `home` is where the demo's own one lies, None for one that ran already."""

    connection: Connection
    home: Path | None = None


@contextmanager
def system(home: Path, port: int) -> Iterator[_System]:
    """Give the system of the context `dev` if it runs, else bring one up in the empty directory `home`.

    Raises:
        CliError: it cannot be started; it shows the end of its log.
        UsageProblem: this is not a clone of the project.
    """
    if (running := _running()) is not None:
        yield _System(running)
        return
    script = PROJECT_ROOT / "scripts" / "compose-local"
    if not script.is_file():
        raise UsageProblem(
            "there is no scripts/compose-local", fix="run the distributed demo in a clone of the project"
        )
    home.chmod(0o711)  # PostgreSQL's own user goes through it to its data
    try:
        _told([str(script), "up", *_place(home, port)], home, UP_SECONDS_MAX)
        yield _System(_connection(home), home)
    finally:
        _told([str(script), "down", *_place(home, port)], home, DOWN_SECONDS_MAX)


def _place(home: Path, port: int) -> list[str]:
    return ["--dir", str(home), *(["--port-base", str(port)] if port != USUAL_PORT else [])]


def _running() -> Connection | None:
    """Return the connection to the development system, if it answers."""
    context = load_config(config_path()).contexts.get(_CONTEXT)
    if context is None:
        return None
    try:
        ready = httpx2.get(f"{context.server}/readyz", timeout=5.0, trust_env=False).status_code == 200
    except httpx2.TransportError:
        return None
    return Connection(context.server, context.token, context.name) if ready else None


def _connection(home: Path) -> Connection:
    """Return the connection to the system in `home`, after making it the current context."""
    made = load_config(home / "config.yaml").named(_CONTEXT)
    name = _CONTEXT if _CONTEXT not in load_config(config_path()).contexts else OTHER_CONTEXT
    write_context(name, made.server, made.token)
    return Connection(made.server, made.token, name)


def _told(command: Sequence[str], home: Path, seconds_max: float) -> None:
    """Run a script to its end, what it says going to a file; interrupted, it undoes what it began.

    Raises:
        CliError: it failed.
    """
    log = home / "compose-local.log"
    with log.open("ab") as output:
        # A session of its own, so that Ctrl-C reaches it once, from us.
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
        try:
            status = process.wait(seconds_max)
        except BaseException:
            process.send_signal(signal.SIGINT)
            process.wait(DOWN_SECONDS_MAX)
            raise
    if status:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:]
        raise CliError(f"`{' '.join(command)}` ended with {status}", why="\n".join(lines), fix=f"see {log}")
