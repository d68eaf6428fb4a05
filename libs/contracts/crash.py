"""Named points at which a test may end the process or cut a connection, compiled into the code that must survive it.

A point costs nothing unless armed, by the environment (`RESEDGE_CRASH_AT=name` or `name:N` for the N-th time, read when
this module is imported: the process dies of SIGKILL there) or by `at_crash_point` inside one process.

An append passes, in this order:

- `eventlog.before-lock`: nothing was sent yet;
- `eventlog.after-lock`: the head row is locked and read;
- `eventlog.after-insert`: the events are inserted, the head is not moved;
- `eventlog.before-commit`: all is written, COMMIT not sent;
- `eventlog.after-commit`: the database has acknowledged COMMIT, nobody knows it yet;
- `eventlog.before-answer`: the appender is about to wake the callers.

The others: `bus.view` and `bus.rebuild` (a view's transaction, a swap), `bus.kafka`, `relay` (log and Kafka),
`gittree` and `rendering` (a commit), each with what they stand before or after. The modules that pass them say where.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator

_hooks: dict[str, Callable[[], None]] = {}


def crash_point(name: str) -> None:
    """Run what a test has put at the point `name`; nothing otherwise."""
    if _hooks and (hook := _hooks.get(name)) is not None:
        hook()


@contextlib.contextmanager
def at_crash_point(name: str, hook: Callable[[], None]) -> Iterator[None]:
    """Call `hook` each time this process passes the point `name`; what it raises is raised there."""
    before = _hooks.get(name)
    _hooks[name] = hook
    try:
        yield
    finally:
        if before is None:
            _hooks.pop(name, None)
        else:
            _hooks[name] = before


def arm(setting: str) -> None:
    """Kill this process (SIGKILL: no clean-up of any kind) at `name`, or at the N-th pass of it for `name:N`."""
    name, _, count = setting.partition(":")
    left = int(count or 1)

    def hook() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    _hooks[name] = hook


if _setting := os.environ.get("RESEDGE_CRASH_AT"):
    arm(_setting)
