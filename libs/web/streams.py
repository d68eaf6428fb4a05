"""Long answers: events as they come, and exports.

When the client has gone, or did not read in time, the generator of the answer ends with it, at once.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send


class Stream(StreamingResponse):
    """A streaming answer that closes its generator, whose `finally` would else wait for the garbage collector."""

    def __init__(self, content: AsyncGenerator[bytes], **options: Any) -> None:
        super().__init__(content, **options)
        self._content = content

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._content.aclose()
