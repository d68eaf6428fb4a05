"""Starts the project's programs for tests in a fraction of what Python takes: forked off a process with the libraries.

What runs is what `python -m MODULE` runs, in a process of its own that is a child of this one; only the libraries it
has not imported itself, which is most of what a start computes. That these programs start from nothing is what
`tests/flow/test_flow_up.py` and `tests/distributed/test_distributed_compose.py` show.

Replicas of one name come from one process and so share the seed of Python's hashes; those of two names do not, as on
two machines: what depends on the order of a set still differs between the replicas of a service.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from threading import Lock

ROOT = Path(__file__).parents[2]
END_SECONDS_MAX = 15.0
_CHILD_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER: what is orphaned below us becomes our child
_starting = Lock()


class NoStarter(RuntimeError):  # noqa: N818 - it states the fact
    """The process that services are forked off has ended."""


class Forked:
    """A child that was forked off a starter; it is waited for and signalled as a `subprocess.Popen` is."""

    stdin = stdout = stderr = None

    def __init__(self, command: str, pid: int) -> None:
        self.args, self.pid = command, pid
        self.returncode: int | None = None
        self._waiting = Lock()

    def poll(self) -> int | None:
        with self._waiting:
            if self.returncode is None:
                ended, status = os.waitpid(self.pid, os.WNOHANG)
                if ended:
                    self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        deadline = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if deadline is not None and time.monotonic() >= deadline:
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
            self._watch(0.5 if deadline is None else min(0.5, max(0.0, deadline - time.monotonic())))
        return code

    def _watch(self, seconds: float) -> None:
        with contextlib.suppress(ProcessLookupError):  # another thread has seen it end
            watched = os.pidfd_open(self.pid)
            try:
                select.select([watched], [], [], seconds)
            finally:
                os.close(watched)

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def start(
    module: str,
    *arguments: str,
    environment: Mapping[str, str],
    out: Path,
    err: Path | None = None,
    directory: Path = ROOT,
    replica: str = "a",
) -> Forked:
    """Start `python -m MODULE ARGUMENT…` in a session of its own; what it says is added to `out`, and `err` if given.

    It ends with this process.

    Raises:
        NoStarter: see there.
    """
    asked = {
        "module": module,
        "arguments": arguments,
        "environment": dict(environment),
        "out": str(out),
        "err": str(err or out),
        "directory": str(directory),
        "parent": os.getpid(),
    }
    with _starting, _adopting():
        starter = _starter(replica)
        assert starter.stdin is not None
        assert starter.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            starter.stdin.write(json.dumps(asked).encode() + b"\n")
            starter.stdin.flush()
        answer = starter.stdout.readline()
    if not answer:
        raise NoStarter(f"the one for replicas {replica!r} ended with {starter.wait(END_SECONDS_MAX)}")
    return Forked(" ".join(["python", "-m", module, *arguments]), int(answer))


@contextlib.contextmanager
def _adopting() -> Iterator[None]:
    """Be the parent of what is orphaned meanwhile, and only meanwhile: other tests' orphans are not ours to bury."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "cannot adopt what is started")
    try:
        yield
    finally:
        libc.prctl(_CHILD_SUBREAPER, 0, 0, 0, 0)


@cache
def _starter(replica: str) -> subprocess.Popen[bytes]:
    """Return the process that replicas of a name are forked off; it ends when this one lets go of its input."""
    command = [sys.executable, "-m", "tests.support.forking", replica]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RESEDGE_")}
    started = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    atexit.register(_end, started)
    return started


def _end(starter: subprocess.Popen[bytes]) -> None:
    for pipe in (starter.stdin, starter.stdout):
        if pipe is not None:
            pipe.close()
    try:
        starter.wait(END_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        starter.kill()
        starter.wait(END_SECONDS_MAX)
