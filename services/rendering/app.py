"""The composition root of rendering."""

from __future__ import annotations

import time

from libs.runtime.service import Ports, Service
from libs.web.application import Readiness
from services.rendering.api import rendering_router
from services.rendering.consumer import Rendering
from services.rendering.settings import RenderingSettings


def build(ports: Ports) -> Service:
    """Return rendering: its model as a consumer, the loop that writes, and its routes."""
    settings = RenderingSettings()
    # An embedded log is in a locked data directory, so this process may take over the lease of a killed one.
    holder = "embedded" if ports.log.embedded else ports.instance
    rendering = Rendering(ports.log, ports.data_dir, settings, ports.clock, time.monotonic, holder, ports.speed)
    commands = ports.commands([])

    async def ready() -> Readiness:
        reason = rendering.reconciler.stopped or rendering.reconciler.trouble
        behind = rendering.position < rendering.ready_at
        detail = reason or (f"at position {rendering.position} of {rendering.ready_at}" if behind else "writing")
        return Readiness("rendering", ok=not reason and not behind, detail=detail)

    async def remote() -> Readiness:
        ok, detail = rendering.pushing.told()
        # Stores keep what they have, and commits go on here: a failing push makes no replica unready.
        return Readiness("remote", ok=ok, detail=detail, required=False)

    return Service(
        name="rendering",
        router=rendering_router(rendering, commands, ports.positions),
        consumers=[rendering, commands.view],
        start=rendering.begin,
        stop=rendering.end,
        checks=[ready, *([remote] if settings.remote else [])],
    )
