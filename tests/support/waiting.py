"""Waiting for a condition that nothing announces.

The one rule: a test does not sleep for a while and then look. It waits here, and the bound only ends a test that fails.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

T = TypeVar("T")

UNTIL_SECONDS_MAX = 120.0
"""Of what comes about by itself, on a machine that may be busy with much else; nothing promises this time."""

_LOOK_SECONDS = 0.02


def until(condition: Callable[[], T], seconds: float = UNTIL_SECONDS_MAX, what: str = "") -> T:
    """Return what `condition` returns once it is true; `what` is said where it does not become so."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, _not_within(seconds, condition, what)
        time.sleep(_LOOK_SECONDS)  # nothing tells of it: every other way to wait is better
    return found


@overload
async def eventually(condition: Callable[[], Awaitable[T]], seconds: float = ..., what: str = ...) -> T: ...


@overload
async def eventually(condition: Callable[[], object], seconds: float = ..., what: str = ...) -> object: ...


async def eventually(condition: Callable[[], Any], seconds: float = UNTIL_SECONDS_MAX, what: str = "") -> Any:
    """Return what `condition`, a plain function or a coroutine one, gives once it is true; the event loop goes on."""
    deadline = time.monotonic() + seconds
    while not (found := await _asked(condition)):
        assert time.monotonic() < deadline, _not_within(seconds, condition, what)
        await asyncio.sleep(_LOOK_SECONDS)  # nothing tells of it: every other way to wait is better
    return found


async def _asked(condition: Callable[[], Any]) -> Any:
    answer = condition()
    return await answer if inspect.isawaitable(answer) else answer


def _not_within(seconds: float, condition: Callable[[], Any], what: str) -> str:
    return f"not within {seconds:g} s: {what or getattr(condition, '__qualname__', condition)}"
