"""Verification in a process of its own, which reports while it runs.

Each step is reported before it starts, so that the failing step is known however the process ends.
"""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

from libs.children import environment, python
from services.rendering.asking.broken import At, VerificationBroken

URL_VARIABLE = "RESEDGE_VERIFY_LOG_URL"
_LINE_BYTES_MAX = 16 * 1024 * 1024
_ERROR_LINES = 20


async def verify_apart(log_url: str, path: Path, *, every_commit: bool) -> list[dict[str, Any]]:
    """Verify in a separate process and return its checks.

    Raises:
        VerificationBroken: it could not be finished, or the process died.
    """
    extent = ["--all"] if every_commit else []
    arguments = python("-m", "services.rendering.asking.verify", str(path), *extent)
    process = await asyncio.create_subprocess_exec(
        *arguments,
        env=environment(**{URL_VARIABLE: log_url}),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=_LINE_BYTES_MAX,
    )
    try:
        return await _heard(process)
    finally:
        if process.returncode is None:  # the requester is gone
            process.kill()
            await process.wait()


async def _heard(process: asyncio.subprocess.Process) -> list[dict[str, Any]]:
    if process.stdout is None or process.stderr is None:
        raise AssertionError("it is started with pipes")
    errors = asyncio.create_task(_last_lines(process.stderr))
    at = At()
    async for line in process.stdout:
        said = json.loads(line)
        if "checks" in said:
            checks: list[dict[str, Any]] = said["checks"]
            return checks
        if "broken" in said:
            raise VerificationBroken.of(said["broken"])
        at = At(**said["at"])
    raise VerificationBroken(at, _ended(await process.wait(), await errors), [])


async def _last_lines(stream: asyncio.StreamReader) -> list[str]:
    lines: list[str] = []
    async for line in stream:
        lines = [*lines, line.decode("utf-8", "replace").rstrip()][-_ERROR_LINES:]
    return lines


def _ended(code: int, errors: list[str]) -> str:
    """Return how a process ended that reported no result."""
    if code < 0:
        name = signal.Signals(-code).name
        memory = ", as the kernel does with the largest process when memory runs out" if -code == signal.SIGKILL else ""
        return f"the verifying process was killed by {name}{memory}"
    said = next((line for line in reversed(errors) if line), "")
    return f"the verifying process ended with exit code {code}{f': {said}' if said else ''}"
