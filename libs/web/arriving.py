"""Limits on an arriving body: how slowly it may come, and in which encoding.

Only the time in which the server waits for the client counts, not the time in which the server reads slowly.
"""

from __future__ import annotations

import asyncio
import time

from fastapi import Request
from starlette.types import Message, Receive

from libs.contracts.problems import Problem

BODY_SECONDS = 30.0
"""Waiting for a body, to which every KiB that has come adds a second."""
BODY_BYTES_A_SECOND = 1024


def in_time(receive: Receive, seconds: float) -> Receive:
    """Return `receive`, which raises a problem (408) once a body has been waited for too long."""
    whole = False
    received = 0
    waited = 0.0

    async def bounded() -> Message:
        nonlocal whole, received, waited
        if whole:
            return await receive()
        started = time.perf_counter()
        try:
            async with asyncio.timeout(max(0.0, seconds + received / BODY_BYTES_A_SECOND - waited)):
                message = await receive()
        except TimeoutError:
            raise Problem(
                408,
                "request-timeout",
                "The request did not come in time.",
                f"{received} bytes of the body came in {waited + time.perf_counter() - started:.0f} s of waiting",
                fix="send it again, at once",
                headers={"Connection": "close"},
            ) from None
        waited += time.perf_counter() - started
        received += len(message.get("body", b""))
        whole = not message.get("more_body", False)
        return message

    return bounded


def refuse_encoded(request: Request) -> None:
    """Refuse a body that is compressed: nothing here unpacks one, and none is larger than it looks.

    Raises:
        Problem: 415.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"", "identity"}:
        raise Problem(
            415,
            "unsupported-content-encoding",
            "The content encoding of the body is not supported.",
            f"Content-Encoding is {encoding[:80]!r}",
            fix="send the body as it is, without Content-Encoding",
            headers={"Accept-Encoding": "identity"},
        )
