"""Processes that outlive the command that started them: process files, logs, health, ending, exit codes.

The one rule: a process is known by its number and its start time together, so that no other one that got the number
later is ever signalled.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from scripts.compose_local_file import Health

KEEPER = """
trap : TERM INT HUP
"$@" &
child=$!
printf '%s' "$child" >"$0.started"
while :; do
  wait "$child"
  code=$?
  { [ "$code" -gt 128 ] && kill -0 "$child" 2>/dev/null; } || break
done
printf '%s' "$code" >"$0.exit"
"""
"""Waits for the process and keeps its exit code, which only a parent gets to know; nothing signals the keeper."""
_START_SECONDS = 10.0
_POLL_SECONDS = 0.05
_T = TypeVar("_T")


class ProcessFailed(RuntimeError):  # noqa: N818 - it states the fact
    """A process ended, or is not healthy; the message has the end of its log."""


@dataclass(frozen=True, slots=True)
class Started:
    """What is kept of a process: enough to know it again."""

    name: str
    pid: int
    ticks: int
    """Its start time, in the kernel's ticks since boot."""
    once: bool
    """It is a step that ends by itself."""
    signal: int
    grace_seconds: float
    good_codes: Sequence[int]


class Process:
    """One named process in a directory; it may run or have ended."""

    def __init__(self, directory: Path, name: str) -> None:
        self.name = name
        self._stem = directory / "run" / name
        self.log = directory / "logs" / f"{name}.log"

    @property
    def started(self) -> Started | None:
        """Return what is kept of it; None: it was never started, or taken down."""
        try:
            return Started(**json.loads(self._file(".json").read_text("utf-8")))
        except FileNotFoundError:
            return None

    @property
    def exit_code(self) -> int | None:
        """Return its exit code; None while it runs, or when its keeper was killed too."""
        try:
            return int(self._file(".exit").read_text("ascii"))
        except (FileNotFoundError, ValueError):
            return None

    @property
    def runs(self) -> bool:
        """Whether it is there: this very process, not another one of the same number."""
        started = self.started
        return started is not None and _ticks(started.pid) == started.ticks

    def start(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        once: bool = False,
        signal_: signal.Signals = signal.SIGTERM,
        grace_seconds: float = 10.0,
        good_codes: Sequence[int] = (0,),
        cwd: Path = Path("/"),
    ) -> None:
        """Start it, detached, with exactly this environment; its output is appended to its log.

        Raises:
            ProcessFailed: it could not be started.
        """
        for each in (".started", ".exit", ".json"):
            self._file(each).unlink(missing_ok=True)
        for directory in (self._stem.parent, self.log.parent):
            directory.mkdir(exist_ok=True)
        with self.log.open("ab") as log:
            keeper = subprocess.Popen(
                ["/bin/bash", "-c", KEEPER, str(self._stem), *command],
                env=dict(environment),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        pid = _within(_START_SECONDS, self._told_pid)
        if pid is None:
            keeper.kill()
            keeper.wait()
            raise ProcessFailed(f"{self.name} could not be started\n{self.last_words()}")
        keeper.returncode = 0  # it goes on without us: nothing here waits for it, and Python need not warn that it runs
        kept = Started(self.name, pid, _ticks(pid) or 0, once, int(signal_), grace_seconds, list(good_codes))
        self._file(".json").write_text(json.dumps(asdict(kept)), "utf-8")

    def _told_pid(self) -> int | None:
        with contextlib.suppress(FileNotFoundError, ValueError):
            return int(self._file(".started").read_text("ascii"))
        return None

    def ask_to_end(self) -> float:
        """Signal it, if it runs, and return when its time is over (`time.monotonic`)."""
        started = self.started
        if started is None:
            return 0.0
        if self.runs:
            os.kill(started.pid, started.signal)
        return time.monotonic() + started.grace_seconds

    def wait_ended(self, deadline: float) -> int | None:
        """Return its exit code (None: unknown) when it has ended; it is killed after `deadline`."""
        started = self.started
        if started is None:
            return None
        if not _within(deadline - time.monotonic(), lambda: not self.runs or None) and self.runs:
            os.kill(started.pid, signal.SIGKILL)
        return _within(_START_SECONDS, lambda: self.exit_code)

    def stop(self) -> int | None:
        """Ask it to end and return its exit code (None: unknown); it is killed when its time is over."""
        return self.wait_ended(self.ask_to_end())

    def forget(self) -> None:
        """Remove its process files; its log stays."""
        for each in (".started", ".exit", ".json"):
            self._file(each).unlink(missing_ok=True)

    def wait_completed(self, seconds: float) -> None:
        """Return when it has ended with success.

        Raises:
            ProcessFailed: it ended otherwise, or not in time.
        """
        code = _within(seconds, lambda: self.exit_code)
        if code != 0:
            how = "did not end in time" if code is None else f"failed with exit code {code}"
            raise ProcessFailed(f"{self.name} {how}\n{self.last_words()}")

    def wait_healthy(self, health: Health, check: Callable[[], str | None]) -> None:
        """Return when `check` finds nothing wrong, asking as often as the file says.

        Raises:
            ProcessFailed: it ended, or `check` kept finding something.
        """
        begun, failures = time.monotonic(), 0
        while wrong := check():
            if not self.runs:
                raise ProcessFailed(f"{self.name} ended with exit code {self.exit_code}\n{self.last_words()}")
            in_start = time.monotonic() - begun < health.start_period
            failures += not in_start
            if failures >= health.retries:
                raise ProcessFailed(f"{self.name} is not healthy: {wrong}\n{self.last_words()}")
            time.sleep(min(health.start_interval, health.interval) if in_start else health.interval)

    def last_words(self) -> str:
        """Return the end of its log."""
        try:
            lines = self.log.read_text("utf-8", "replace").splitlines()[-15:]
        except FileNotFoundError:
            return ""
        return "".join(f"  {self.name} | {line[:500]}\n" for line in lines)

    def _file(self, suffix: str) -> Path:
        return self._stem.with_name(self._stem.name + suffix)


def unhealthy(health: Health, environment: Mapping[str, str], cwd: Path) -> str | None:
    """Run a health check once and return what is wrong."""
    try:
        done = subprocess.run(
            health.test,
            env=dict(environment),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=health.timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"its check took longer than {health.timeout:g} s"
    return None if done.returncode == 0 else (done.stdout + done.stderr).strip()[:500] or f"exit {done.returncode}"


def _ticks(pid: int) -> int | None:
    """Return when a process started; None: it is not there, or only its exit code is."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if after_name[0] in "ZX" else int(after_name[19])


def _within(seconds: float, found: Callable[[], _T | None]) -> _T | None:
    """Return what `found` returns as soon as that is something, None when the time is over."""
    deadline = time.monotonic() + seconds
    while (value := found()) is None and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    return value
