"""A lock around work on a view that only one process may do at a time, and retries of faults that pass by themselves.

On PostgreSQL the lock belongs to the session, so that it ends with its holder.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.bus.faults import passing

_ATTEMPTS_MAX = 40
"""How many faults in a row are retried."""
_RETRY_SECONDS = 0.5

_LOCK = "hashtextextended(current_schema() || ' ' || :name, 0)"
_here: set[tuple[str, str]] = set()

T = TypeVar("T")


class RebuildRunning(RuntimeError):  # noqa: N818 - it states the fact
    """Another rebuild of the same projection is running."""


@contextlib.asynccontextmanager
async def alone(engine: AsyncEngine, name: str) -> AsyncIterator[None]:
    """Hold the right to rebuild the view `name` of a database, alone.

    On SQLite it holds within this process, the only one that may use the file.

    Raises:
        RebuildRunning: somebody else holds it.
    """
    key = (engine.url.render_as_string(), name)
    if key in _here:
        raise RebuildRunning(name)
    _here.add(key)
    try:
        async with contextlib.AsyncExitStack() as stack:
            if engine.dialect.name == "postgresql":
                await stack.enter_async_context(_session_lock(engine, name))
            yield
    finally:
        _here.discard(key)


@contextlib.asynccontextmanager
async def _session_lock(engine: AsyncEngine, name: str) -> AsyncIterator[None]:
    connection = await engine.connect()
    try:
        connection = await connection.execution_options(isolation_level="AUTOCOMMIT")
        taken = await connection.execute(text(f"SELECT pg_try_advisory_lock({_LOCK})"), {"name": name})
        if not taken.scalar_one():
            raise RebuildRunning(name)
        yield
    finally:
        # The session ends, and the lock with it, whatever has become of the connection.
        await connection.invalidate()
        await connection.close()


async def patiently(step: Callable[[], Awaitable[T]]) -> T:
    """Take a step, and repeat it after a fault that passes by itself, up to `_ATTEMPTS_MAX` times."""
    for _ in range(_ATTEMPTS_MAX - 1):
        try:
            return await step()
        except Exception as error:
            if not passing(error):
                raise
            await asyncio.sleep(_RETRY_SECONDS)
    return await step()
