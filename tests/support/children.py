"""Child processes of tests: they start with default handling of signals, and every wait for one is bounded.

The one rule: tests start a child that lives on through `child` (`subprocess.run` ends its own). A shell that starts the
tests in the background has them ignore SIGINT, and what is ignored is inherited: a child would never hear of it.
"""

from __future__ import annotations

import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.starting import ROOT, Forked, start

_RESTORED = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT)
KILLED_SECONDS_MAX = 15.0


def restore_signals() -> None:
    """Let every child of this process begin with default handling, whatever this process was started with.

    What is ignored here stays without effect here: a handler that does nothing takes the place of "ignore", because the
    kernel takes handlers, but not "ignore", back to the default in a child that runs another program.
    """
    for number in _RESTORED:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda _number, _frame: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _RESTORED)


@contextmanager
def child(command: Sequence[str | Path], **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """Run a command until the block ends; what still runs then is killed."""
    process = subprocess.Popen(command, **options)
    try:
        yield process
    finally:
        end(process)


@contextmanager
def program(
    module: str,
    *arguments: str,
    environment: Mapping[str, str],
    out: Path,
    err: Path | None = None,
    directory: Path = ROOT,
) -> Iterator[Forked]:
    """Run `python -m MODULE ARGUMENT…` until the block ends, started as `starting.py` says."""
    process = start(module, *arguments, environment=environment, out=out, err=err, directory=directory)
    try:
        yield process
    finally:
        end(process)


def ran(
    module: str, *arguments: str, environment: Mapping[str, str], seconds: float, directory: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    """Run `python -m MODULE ARGUMENT…` to its end, started as `starting.py` says.

    Raises:
        subprocess.TimeoutExpired: it goes on.
    """
    with tempfile.TemporaryDirectory() as kept:
        out, err = Path(kept, "out"), Path(kept, "err")
        with program(module, *arguments, environment=environment, out=out, err=err, directory=directory) as process:
            code = process.wait(seconds)
        return subprocess.CompletedProcess(process.args, code, out.read_text(), err.read_text())


def end(process: subprocess.Popen[Any] | Forked) -> None:
    """Kill a child if it still runs, wait for its end, and close what it was read through.

    Raises:
        subprocess.TimeoutExpired: not even the kernel ends it.
    """
    if process.poll() is None:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait(KILLED_SECONDS_MAX)
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
